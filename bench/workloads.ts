/**
 * Request bodies for benchmarks, made from a seed so that every run times the same bytes.
 *
 * Three kinds: `plain` without tags (about 95 bytes a metric), `tags` with three tags whose values differ from metric
 * to metric (about 168), and `same-tags`, where all metrics of a body come from one source.
 */
import { createHash } from 'node:crypto';

export const WORKLOADS = ['plain', 'tags', 'same-tags', 'spaced-tags'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export interface Workload {
  readonly name: WorkloadName;
  readonly metrics: number;
  readonly seed: number;
  readonly body: Buffer;
}

/** A short digest of the input bytes: two runs with the same one timed the same input. */
export function digestOf(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 16);
}

/** Mulberry32: 32 bits of state, good enough to make test data. Numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = [
  'cpu.usage',
  'mem.free',
  'disk.io.read_bytes',
  'net.rx.packets',
  'http.requests.total',
  'http.latency.p99',
  'gc.pause.ms',
  'queue.depth',
] as const;
const TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;
const REGIONS = ['eu-west-1', 'eu-central-1', 'us-east-1', 'us-west-2', 'ap-southeast-1'] as const;
const SERVICES = ['checkout', 'catalogue', 'billing', 'search', 'frontend', 'auth'] as const;

/** JSON with a blank after each colon and comma, as Python's `json.dumps` writes it. */
function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, member]) => `${JSON.stringify(key)}: ${spacedJson(member)}`,
  );
  return `{${members.join(', ')}}`;
}

export function makeWorkload(name: WorkloadName, metrics: number, seed = 20_260_101): Workload {
  const random = seededRandom(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const whole = (limit: number): number => Math.floor(random() * limit);
  const tags = (): Record<string, string> => ({
    host: `web-${whole(500)}.${pick(REGIONS)}`,
    service: pick(SERVICES),
    region: pick(REGIONS),
  });
  const shared = tags();
  const items = Array.from({ length: metrics }, (_, at) => ({
    name: `${pick(NAMES)}.${whole(40)}`,
    // Counts, percentages with two decimals, and measurements with all their digits.
    value: at % 3 === 0 ? whole(1_000_000) : at % 3 === 1 ? whole(10_000) / 100 : random() * 100,
    type: pick(TYPES),
    timestamp: 1_760_000_000_000 + whole(10_000),
    ...(name === 'plain' ? {} : { tags: name === 'same-tags' ? shared : tags() }),
  }));
  return {
    name,
    metrics,
    seed,
    body: Buffer.from(
      name === 'spaced-tags' ? spacedJson({ metrics: items }) : JSON.stringify({ metrics: items }),
    ),
  };
}
