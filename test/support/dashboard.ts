/** The Grafana dashboard as tests read it, with the values that Grafana would substitute. */
import { eventually } from './assertions.ts';
import { readDeployed } from './deploy-files.ts';
import type { Prometheus, Series } from './prometheus.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string; readonly thresholds?: unknown } };
  readonly targets?: readonly { readonly expr: string }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
}

export const dashboard = JSON.parse(readDeployed('grafana', 'metricsstream.json')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
};
export const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** Whether a panel shows export, consume or archive, and not the server. */
export const isShipping = ({ targets = [] }: Panel): boolean =>
  targets.some(({ expr }) => /metricsstream_(export|consume|archive)_/.test(expr));

const VALUES: Readonly<Record<string, string>> = {
  $__rate_interval: '10s',
  $__interval: '10s',
  $datasource: 'prometheus',
  $instance: '.+',
  $stage: 'sync',
  $job: 'metricsstream',
};

export const substituted = (expression: string): string =>
  Object.entries(VALUES).reduce((text, [name, value]) => text.replaceAll(name, value), expression);

export const isNumber = ({ value }: Series): boolean => value[1] !== 'NaN';

/** The result of a query, once it has at least one number. */
export async function findsData(prometheus: Prometheus, expression: string): Promise<readonly Series[]> {
  let found: readonly Series[] = [];
  await eventually(`data for ${expression}`, async () => {
    found = await prometheus.query(expression);
    return found.some(isNumber);
  });
  return found;
}
