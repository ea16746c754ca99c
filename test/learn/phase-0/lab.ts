/** Predict, then measure: a server of phase 0 on a disk whose syncs take 100 ms longer, and clients in a closed loop. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { StepFailure } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { withServer } from './server.ts';

/** Long against the server's own work, also on a machine that does something else. */
const SYNC_DELAY_MS = 100;
const SECONDS = 1.5;
const BODY = '{"metrics":[{"name":"lab","value":1}]}';

export interface Measured {
  readonly perSecond: number;
  readonly meanMs: number;
  /** Share of the time, in percent, during which the server waited for a sync. */
  readonly syncPercent: number;
}

async function post(url: string): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    body: BODY,
    headers: { 'Content-Type': 'application/json' },
  });
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`the server answered ${response.status}`);
}

/** Seconds in syncs so far. */
async function syncSeconds(origin: string): Promise<number> {
  const text = await (await fetch(`${origin}/metrics`)).text();
  return Number(/stage_duration_seconds_sum\{[^}]*stage="sync"[^}]*\} (\S+)/.exec(text)?.[1] ?? 0);
}

export async function measure(root: string, clients: number, ack: 'synced' | 'written'): Promise<Measured> {
  const faults = JSON.stringify({ syncDelayMs: SYNC_DELAY_MS });
  const preload = pathToFileURL(join(root, 'dist/load-test/faults/preload.js')).href;
  const env = { NODE_OPTIONS: `--import ${preload}`, METRICSSTREAM_TEST_FAULTS: faults };
  return withServer({ root, phase: '0', ack, directory: tmpdir(), env }, async (port) => {
    const origin = `http://127.0.0.1:${port}`;
    await post(`${origin}/metrics`);
    const syncBefore = await syncSeconds(origin);
    const startMs = performance.now();
    const endMs = startMs + SECONDS * 1e3;
    let requests = 0;
    let totalMs = 0;
    const client = async (): Promise<void> => {
      while (performance.now() < endMs) {
        const sentMs = performance.now();
        await post(`${origin}/metrics`);
        totalMs += performance.now() - sentMs;
        requests++;
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const tookMs = performance.now() - startMs;
    const syncPercent = ((await syncSeconds(origin)) - syncBefore) * (1e5 / tookMs);
    return { perSecond: (requests * 1e3) / tookMs, meanMs: totalMs / requests, syncPercent };
  });
}

const shown = (value: number): string => (value >= 10 ? String(Math.round(value)) : value.toPrecision(2));

export interface Question {
  readonly question: string;
  readonly unit: string;
  /** The prediction may be this many times too large or too small. */
  readonly factor: number;
  readonly so: string;
}

/** Compares a prediction with the measurement. @returns the sentence to print @throws StepFailure if they are far apart */
export function compare({ question, unit, factor, so }: Question, guess: number, value: number): string {
  const ratio = guess / value;
  if (ratio <= factor && ratio >= 1 / factor)
    return `you predicted ${shown(guess)} ${unit}, and the server shows ${shown(value)}. ${so}`;
  throw new StepFailure({
    did: question,
    expected: `${shown(value)} ${unit}, as measured just now`,
    got: `${shown(guess)} predicted`,
    so,
  });
}

/** A check that measures only once there is a prediction, so that nobody predicts the past. */
export function predictThenMeasure(
  asked: Question,
  value: (root: string) => Promise<number>,
): StepModule['check'] {
  return async ({ guess, root }) => {
    if (guess !== null && guess > 0) return compare(asked, guess, await value(root));
    throw new StepFailure({
      did: asked.question,
      expected: `your prediction in ${asked.unit}, before anything is measured: npm run learn check -- --guess 123`,
      got: guess === null ? 'none yet' : String(guess),
    });
  };
}
