/** GET /metrics as numbers, and percentiles of what a histogram recorded between two readings. */

/** Values by sample, labels included, such as `metricsstream_requests_total{status="503"}`. */
export type Exposition = ReadonlyMap<string, number>;

export async function readExposition(port: number): Promise<Exposition> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { accept: 'text/plain' } });
  const samples = new Map<string, number>();
  for (const line of (await response.text()).split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && !line.startsWith('#')) samples.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return samples;
}

/** @throws when the server exposes no such sample */
export function sampleOf(exposition: Exposition, name: string): number {
  const value = exposition.get(name);
  if (value === undefined) throw new Error(`GET /metrics has no ${name}`);
  return value;
}

const REFUSAL = /^metricsstream_requests_(?:total\{status="[345]\d\d"\}|unavailable_total\{.*\})$/;

/** The samples that say why requests were refused, such as `metricsstream_requests_total{status="503"} 3`. */
export const refusalsIn = (exposition: Exposition): string[] =>
  [...exposition].filter(([name, count]) => count > 0 && REFUSAL.test(name)).map((pair) => pair.join(' '));

/** How much a counter grew; 0 if it is not exposed. */
export function growth(name: string, before: Exposition, after: Exposition): number {
  return (after.get(name) ?? 0) - (before.get(name) ?? 0);
}

/**
 * The upper bound of the bucket that the percentile lies in.
 * @param labels of the histogram, as in the exposition, without `le`: `stage="queue"`, or ''
 */
export function percentileOf(
  name: string,
  labels: string,
  percent: number,
  before: Exposition,
  after: Exposition,
): number {
  const buckets = [...after.keys()].flatMap((sample) => {
    const [, metric, inside = ''] = /^(\w+)_bucket\{(.*)\}$/.exec(sample) ?? [];
    const parts = inside.split(',');
    const bound = parts.find((part) => part.startsWith('le='));
    const rest = parts.filter((part) => part !== bound).join(',');
    if (metric !== name || bound === undefined || rest !== labels) return [];
    const limit = Number(bound.slice(4, -1).replace('+Inf', 'Infinity'));
    return [{ bound: limit, count: growth(sample, before, after) }];
  });
  buckets.sort((a, b) => a.bound - b.bound);
  const wanted = ((buckets.at(-1)?.count ?? 0) * percent) / 100;
  return buckets.find(({ count }) => count >= wanted)?.bound ?? Number.NaN;
}
