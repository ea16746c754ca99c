/** Our metrics as prom-client metrics: the reference for the text that we write ourselves. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { HistogramMetric, Labels, MetricDescription } from '../../src/exposition/metric-description.ts';
import { UPPER_BOUNDS } from '../../src/telemetry/histogram.ts';

/** A registry with one prom-client metric for each description. */
export function mirrorOf(descriptions: readonly MetricDescription[]): Registry {
  const registry = new Registry();
  for (const description of descriptions) register(description, registry);
  return registry;
}

function register(description: MetricDescription, registry: Registry): void {
  if (description.type === 'histogram') {
    new MirroredHistogram(description, registry);
    return;
  }
  const { name, help, labels } = description;
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  if (description.type === 'counter') {
    new Counter({
      ...options,
      collect() {
        this.reset();
        for (const { value, labels = {} } of description.read()) this.inc(labels, value);
      },
    });
  } else {
    new Gauge({
      ...options,
      collect() {
        this.reset();
        for (const { value, labels = {} } of description.read()) this.set(labels, value);
      },
    });
  }
}

/** A histogram with the buckets of a reading. */
class MirroredHistogram extends Histogram {
  private readonly description: HistogramMetric;

  constructor(description: HistogramMetric, registry: Registry) {
    const { name, help, labels } = description;
    super({ name, help, labelNames: [...labels], registers: [registry] });
    this.description = description;
  }

  override async get(): ReturnType<Histogram['get']> {
    const { name, help, type } = this.description;
    // The declared type makes `type` an enum; prom-client's own metrics have a string there.
    const metric: unknown = { name, help, type, aggregator: 'sum', values: this.samples() };
    return metric as Awaited<ReturnType<Histogram['get']>>;
  }

  /** The registry calls this method if it exists. */
  getForPromString(): ReturnType<Histogram['get']> {
    return this.get();
  }

  private samples() {
    const { name, buckets, divisor } = this.description;
    return this.description.read().flatMap(({ reading, labels = {} }) => {
      const bucket = (le: number | string, value: number) =>
        sample(`${name}_bucket`, value, { ...labels, le: `${le}` });
      return [
        ...buckets.map((index) => bucket(UPPER_BOUNDS[index]! / divisor, reading.cumulative[index]!)),
        bucket('+Inf', reading.count),
        sample(`${name}_sum`, reading.sum / divisor, labels),
        sample(`${name}_count`, reading.count, labels),
      ];
    });
  }
}

function sample(metricName: string, value: number, labels: Labels) {
  return { metricName, value, labels };
}
