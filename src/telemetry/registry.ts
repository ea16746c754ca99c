/**
 * Our metrics as prom-client metrics that take their values from shared memory when they are collected.
 *
 * prom-client's own `inc` and `observe` stay off the hot path: counters and gauges are set in `collect`, histograms
 * hand over the buckets that were counted elsewhere.
 */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type Metric,
  type OpenMetricsContentType,
  Registry,
} from 'prom-client';
import { UPPER_BOUNDS } from './histogram.ts';
import type { HistogramMetric, Labels, MetricDescription, ScalarMetric } from './metric-description.ts';

/** prom-client names three gauges as if they were counters; `promtool check metrics` rejects them. */
const MISNAMED_GAUGES = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/** A registry of our metrics and of Node's own for this process and its main thread. */
export function createRegistry(descriptions: readonly MetricDescription[]): Registry {
  const registry = new Registry();
  for (const description of descriptions) register(description, registry);
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_GAUGES) registry.removeSingleMetric(name);
  return registry;
}

function register(description: MetricDescription, registry: Registry): void {
  if (description.type === 'histogram') {
    new SharedHistogram(description, registry);
    return;
  }
  const { name, help, labels } = description;
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  if (description.type === 'counter') {
    new Counter({
      ...options,
      collect() {
        this.reset();
        for (const { value, labels = {} } of readScalar(description)) this.inc(labels, value);
      },
    });
  } else {
    new Gauge({
      ...options,
      collect() {
        this.reset();
        for (const { value, labels = {} } of readScalar(description)) this.set(labels, value);
      },
    });
  }
}

function readScalar(description: ScalarMetric) {
  return description.read();
}

/** A histogram whose buckets were counted elsewhere. */
class SharedHistogram extends Histogram {
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

  /** What the registry asks for where it is there. */
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

/**
 * The same metrics under OpenMetrics' rules: there a counter's family is named without `_total`. prom-client renames
 * the metrics it is given for good, so it is given stand-ins.
 */
export function openMetricsRegistry(registry: Registry): Registry<OpenMetricsContentType> {
  const open = new Registry<OpenMetricsContentType>();
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const { name, type } of registry.getMetricsAsArray()) {
    const metric = registry.getSingleMetric(name)!;
    const standIn = {
      name,
      type,
      async get() {
        return { ...(await metric.get()), name: standIn.name };
      },
    };
    open.registerMetric(standIn as unknown as Metric);
  }
  return open;
}
