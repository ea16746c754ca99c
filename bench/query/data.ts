/**
 * The metrics of the benchmark: four names, a series for each host, one sample every ten seconds. The same samples go to
 * both programs, each in its own format and in batches of the same steps.
 */
import { xorshift32 } from '../../load-test/generator/sample-metrics.ts';

const NAMES = ['cpu.usage', 'http.requests', 'http.latency', 'queue.depth'] as const;
const TYPES = ['gauge', 'counter', 'histogram', 'gauge'] as const;
export const STEPS = 2_500;
export const STEP_MS = 10_000;
export const BASE_MS = Date.UTC(2026, 10, 1);
const REGIONS = ['eu', 'us', 'ap'] as const;
/** These hosts have further samples, so that the series with the most samples are not tied. */
const BUSY_HOSTS = 12;
/** Of a batch, so that its lines fit into memory. */
const BATCH_SAMPLES = 400_000;
const LATENCY_MEAN_MS = 80;

export function hostsFor(metrics: number): number {
  return Math.max(BUSY_HOSTS, Math.round(metrics / (NAMES.length * STEPS)));
}

/** A sample of one series. */
export interface Sample {
  readonly host: number;
  /** Index in NAMES. */
  readonly name: number;
  readonly timeMs: number;
  readonly value: number;
}

const SEED = 0x9e3779b9;

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

export interface SampleBatch {
  readonly samples: readonly Sample[];
  /** The step after its last one. */
  readonly nextStep: number;
}

/**
 * The samples from a step on, in the order of their time, in batches. The samples of a step do not depend on where a
 * load began.
 */
export function* batchesOf(hosts: number, fromStep: number): Generator<SampleBatch> {
  const random = xorshift32(SEED);
  const counters = new Float64Array(hosts);
  let samples: Sample[] = [];
  for (let step = 0; step < STEPS; step++) {
    addStep(step, random, counters, step < fromStep ? null : samples);
    const nextStep = step + 1;
    if (samples.length >= BATCH_SAMPLES || (nextStep === STEPS && samples.length > 0)) {
      yield { samples, nextStep };
      samples = [];
    }
  }
}

/** @param samples null: only draw the random numbers and advance the counters */
function addStep(step: number, random: () => number, counters: Float64Array, samples: Sample[] | null): void {
  const timeMs = BASE_MS + step * STEP_MS;
  for (let host = 0; host < counters.length; host++) {
    // Each host starts again once.
    const isRestart = step === (host * 37) % STEPS;
    counters[host] = isRestart ? 0 : counters[host]! + Math.floor(random() * 20);
    const [usage, latency, depth] = [random(), random(), random()];
    samples?.push(
      { host, name: 0, timeMs, value: round(usage * 100, 2) },
      { host, name: 1, timeMs, value: counters[host]! },
      { host, name: 2, timeMs, value: round(-LATENCY_MEAN_MS * Math.log(1 - latency), 3) },
      { host, name: 3, timeMs, value: Math.floor(depth * 50) },
    );
  }
  for (let host = 0; host < BUSY_HOSTS; host++) {
    if (step < (BUSY_HOSTS - host) * 10)
      samples?.push({ host, name: 3, timeMs: timeMs + STEP_MS / 2, value: step });
  }
}

const regionOf = (host: number): string => REGIONS[host % REGIONS.length]!;

/** A line of `POST /metrics` as NDJSON. */
export function ndjsonLine({ host, name, timeMs, value }: Sample): string {
  return `{"name":"${NAMES[name]}","value":${value},"type":"${TYPES[name]}","timestamp":${timeMs},"tags":{"host":"web-${host}","region":"${regionOf(host)}"}}\n`;
}

/** The lines of VictoriaMetrics' /api/v1/import: one for each series of a batch. */
export function* importLines(batch: readonly Sample[]): Generator<string> {
  const series = new Map<string, { times: number[]; values: number[] }>();
  for (const { host, name, timeMs, value } of batch) {
    const key = `{"metric":{"__name__":"${NAMES[name]}","host":"web-${host}","region":"${regionOf(host)}"}`;
    let found = series.get(key);
    if (found === undefined) {
      found = { times: [], values: [] };
      series.set(key, found);
    }
    found.times.push(timeMs);
    found.values.push(value);
  }
  for (const [key, { times, values }] of series)
    yield `${key},"values":[${values.join()}],"timestamps":[${times.join()}]}\n`;
}
