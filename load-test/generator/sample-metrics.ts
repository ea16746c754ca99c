/** Metrics to send, the same for the same seed in every run: no two neighbours alike in name, value or host. */

const DEFAULT_SEED = 0x2545f491;
const FIRST_TIMESTAMP = 1_700_000_000_000;
const SUBJECTS = ['cpu', 'disk', 'http', 'jvm', 'net', 'queue'] as const;
const MEASURES = ['usage', 'bytes', 'latency', 'errors', 'depth', 'wait', 'open'] as const;
const TYPES = ['gauge', 'counter', 'gauge', 'histogram', 'gauge'] as const;

/** Marsaglia's xorshift32: numbers from 0 to below 1, good enough to vary digits. */
export function xorshift32(seed = DEFAULT_SEED): () => number {
  let state = seed | 0 || DEFAULT_SEED;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export const pick = <T>(choices: readonly T[], at: number): T =>
  choices[Math.floor(at) % choices.length] as T;

/** A metric with one tag; callers add theirs. */
export function sampleMetric(index: number, random: () => number) {
  return {
    name: `${pick(SUBJECTS, index)}.${pick(MEASURES, index / SUBJECTS.length)}`,
    value: Number((random() * 10 ** (index % 5)).toFixed(3)),
    type: pick(TYPES, index),
    timestamp: FIRST_TIMESTAMP + index * 7,
    tags: { host: `web-${Math.floor(random() * 90) + 10}` },
  };
}
