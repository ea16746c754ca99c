/**
 * Our metrics as prom-client metrics that take their values from shared memory when they are collected.
 *
 * prom-client's own `inc` and `observe` stay off the hot path: counters and gauges are set in `collect`, histograms
 * hand over the buckets that were counted elsewhere. Where text is asked for, our metrics write it themselves (see
 * text-format.ts), so that a scrape costs main a fraction of a millisecond while other threads need the CPU.
 */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type Metric,
  type OpenMetricsContentType,
  type PrometheusContentType,
  Registry,
  type RegistryContentType,
} from 'prom-client';
import { UPPER_BOUNDS } from '../telemetry/histogram.ts';
import type { HistogramMetric, Labels, MetricDescription, ScalarMetric } from './metric-description.ts';
import { type FamilyText, familyOf, familyText } from './text-format.ts';

/** prom-client's own monitor of main's event loop wakes main this often. */
const LOOP_DELAY_RESOLUTION_MS = 50;

/** prom-client names three gauges as if they were counters; `promtool check metrics` rejects them. */
const MISNAMED_GAUGES = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

type Collected = Metric & { collect?: () => void };

/** When Node's own metrics were collected last; a number that grows. */
interface Defaults {
  collections: number;
}

/** A registry in which some metrics write their text themselves, and the text of the others is kept while they rest. */
class TextRegistry<ContentType extends RegistryContentType> extends Registry<ContentType> {
  readonly texts: ReadonlyMap<string, FamilyText>;
  private readonly form: Parameters<FamilyText>[0];
  private readonly defaults: Defaults;
  private defaultText: Promise<string> = Promise.resolve('');
  private defaultTextOf = -1;

  /** @param texts by the name of the metric */
  constructor(contentType: ContentType, texts: ReadonlyMap<string, FamilyText>, defaults: Defaults) {
    super();
    this.setContentType(contentType);
    this.texts = texts;
    this.form = contentType === Registry.OPENMETRICS_CONTENT_TYPE ? 'openmetrics' : 'text';
    this.defaults = defaults;
  }

  override async metrics(): Promise<string> {
    const { texts, form, defaults } = this;
    const separator = form === 'openmetrics' ? '\n' : '\n\n';
    if (this.defaultTextOf !== defaults.collections) {
      this.defaultTextOf = defaults.collections;
      this.defaultText = this.renderDefaults(separator);
    }
    // Waited for first: our values are then those of one moment, the last one before the answer.
    const rest = await this.defaultText;
    let own = '';
    for (const text of texts.values()) own += text(form) + separator;
    return form === 'openmetrics' ? `${own}${rest}\n# EOF\n` : `${own}${rest}\n`;
  }

  private async renderDefaults(separator: string): Promise<string> {
    const names = this.getMetricsAsArray().flatMap(({ name }) => (this.texts.has(name) ? [] : [name]));
    return (await Promise.all(names.map((name) => this.getSingleMetricAsString(name)))).join(separator);
  }
}

export interface OwnRegistry extends Registry<PrometheusContentType> {
  readonly texts: ReadonlyMap<string, FamilyText>;
  readonly defaults: Defaults;
  /**
   * Looks at process and Node anew. Not done by a scrape: reading /proc takes as long as the rest of it, and with the
   * number of open descriptors several milliseconds.
   */
  collectDefaults(): void;
}

/** A registry of our metrics and of Node's own for this process and its main thread. */
export function createRegistry(descriptions: readonly MetricDescription[]): OwnRegistry {
  const texts = new Map(descriptions.map((description) => [description.name, familyText(description)]));
  const defaults = { collections: 0 };
  const registry = new TextRegistry(Registry.PROMETHEUS_CONTENT_TYPE, texts, defaults);
  for (const description of descriptions) register(description, registry);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_DELAY_RESOLUTION_MS });
  for (const name of MISNAMED_GAUGES) registry.removeSingleMetric(name);
  const collectors = registry.getMetricsAsArray().flatMap(({ name }) => {
    if (texts.has(name)) return [];
    const metric: Collected = registry.getSingleMetric(name)!;
    const { collect } = metric;
    delete metric.collect;
    return collect === undefined ? [] : [() => collect.call(metric)];
  });
  const collectDefaults = () => {
    for (const collect of collectors) collect();
    defaults.collections++;
  };
  collectDefaults();
  return Object.assign(registry, { defaults, collectDefaults });
}

function register(description: MetricDescription, registry: Registry<PrometheusContentType>): void {
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
 * The same metrics under OpenMetrics' rules: there a counter's family is named without `_total`, and prom-client adds
 * that to the names of its samples. So it is given stand-ins by the family's name.
 */
export function openMetricsRegistry(registry: OwnRegistry): TextRegistry<OpenMetricsContentType> {
  const texts = new Map([...registry.texts].map(([name, text]) => [familyOf(name), text]));
  const open = new TextRegistry(Registry.OPENMETRICS_CONTENT_TYPE, texts, registry.defaults);
  for (const { name, type } of registry.getMetricsAsArray()) {
    const metric = registry.getSingleMetric(name)!;
    const family = String(type) === 'counter' ? familyOf(name) : name;
    const standIn = { name: family, type, get: async () => ({ ...(await metric.get()), name: family }) };
    open.registerMetric(standIn as unknown as Metric);
  }
  return open;
}
