/**
 * prom-client's default metrics of the process and of main's Node.js runtime, as text.
 *
 * Reading /proc takes as long as the rest of a scrape, and counting open descriptors takes several milliseconds. So
 * `collect` reads the values once a second and `text` renders them at most once per collection.
 */
import {
  collectDefaultMetrics,
  type Metric,
  type OpenMetricsContentType,
  Registry,
  type RegistryContentType,
} from 'prom-client';
import { familyOf, type TextForm } from './text-format.ts';

/** prom-client's monitor of main's event loop wakes main this often. */
const LOOP_DELAY_RESOLUTION_MS = 50;

/** prom-client names three gauges like counters; `promtool check metrics` rejects them. */
const MISNAMED_GAUGES = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/** How each form separates two metric families. */
export const FAMILY_SEPARATOR: Readonly<Record<TextForm, string>> = { text: '\n\n', openmetrics: '\n' };

type Collected = Metric & { collect?: () => void };

export class NodeMetrics {
  private readonly registries: Readonly<Record<TextForm, Registry<RegistryContentType>>>;
  private readonly collectors: readonly (() => void)[];
  private readonly texts = new Map<TextForm, Promise<string>>();

  constructor() {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_DELAY_RESOLUTION_MS });
    for (const name of MISNAMED_GAUGES) registry.removeSingleMetric(name);
    this.collectors = registry.getMetricsAsArray().flatMap(({ name }) => {
      const metric: Collected = registry.getSingleMetric(name)!;
      const { collect } = metric;
      delete metric.collect;
      return collect === undefined ? [] : [() => collect.call(metric)];
    });
    this.registries = { text: registry, openmetrics: openMetricsRegistry(registry) };
    this.collect();
  }

  /** Reads the values of the process and of Node.js. */
  collect(): void {
    for (const collect of this.collectors) collect();
    this.texts.clear();
  }

  contentType(form: TextForm): string {
    return this.registries[form].contentType;
  }

  /** All families as of the last `collect`, without a line feed at the end. */
  text(form: TextForm): Promise<string> {
    const cached = this.texts.get(form);
    if (cached !== undefined) return cached;
    const registry = this.registries[form];
    const families = registry.getMetricsAsArray().map(({ name }) => registry.getSingleMetricAsString(name));
    const text = Promise.all(families).then((texts) => texts.join(FAMILY_SEPARATOR[form]));
    this.texts.set(form, text);
    return text;
  }
}

/**
 * The same metrics under OpenMetrics' rules. There a counter's family has no `_total`, and prom-client appends it to
 * the names of the samples; so this registry holds stand-ins with the family's name.
 */
export function openMetricsRegistry(registry: Registry): Registry<OpenMetricsContentType> {
  const open = new Registry<OpenMetricsContentType>();
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const { name, type } of registry.getMetricsAsArray()) {
    const metric = registry.getSingleMetric(name)!;
    const family = String(type) === 'counter' ? familyOf(name) : name;
    const standIn = { name: family, type, get: async () => ({ ...(await metric.get()), name: family }) };
    open.registerMetric(standIn as unknown as Metric);
  }
  return open;
}
