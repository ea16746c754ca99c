/**
 * A process of its own for one writer and one `--ack`: `child.js WRITER ACK SYNC_INTERVAL_MS`, forked. Answers a
 * BatchRound with its BatchFigures.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { monotonicMs } from '../../src/base/clock.ts';
import { verify } from '../../src/cli/verify.ts';
import { WRITER } from '../../src/telemetry/counters.ts';
import { serveRounds } from '../harness/forks.ts';
import { quantile } from '../statistics.ts';
import { CLIENT_COUNTS, LINE_TEXTS, REQUEST_LINES, requestsOf } from './cases.ts';
import { type BenchedAck, BenchedStore, type WriterName } from './store.ts';

export interface BatchRound {
  readonly requestLines: number;
  readonly clients: number;
  readonly ms: number;
}

export type BatchFigures = Awaited<ReturnType<typeof timeRound>>;

const [, , name, ack] = process.argv as unknown as [string, string, WriterName, BenchedAck];
const syncIntervalMs = Number(process.argv[4]);

/** All lines once, in order, seals sound and gapless; by requests of all sizes. */
async function verifyStored(): Promise<void> {
  const store = await BenchedStore.open(name, ack, syncIntervalMs);
  try {
    let expected = '';
    for (const lines of REQUEST_LINES) {
      for (const clients of CLIENT_COUNTS) {
        const requests = requestsOf(lines).slice(0, 150);
        expected += LINE_TEXTS.slice(0, requests.length * lines).join('');
        const next = (): Uint8Array | null => requests.shift() ?? null;
        store.serve(clients, lines, next, () => {});
      }
    }
    await store.stop();
    const files = fs.readdirSync(store.dataDir).filter((file) => file.startsWith('metrics-'));
    const stored = files.map((file) => fs.readFileSync(join(store.dataDir, file), 'latin1')).join('');
    assert.equal(stored.replaceAll(/,"seal":\{[^}]*\}/g, ''), expected);
    const ignore = new Writable({ write: (_chunk, _encoding, done) => done() });
    assert.equal(await verify({ dataDir: store.dataDir, json: false, out: ignore }), 0);
  } finally {
    store.remove();
  }
}

async function timeRound(store: BenchedStore, round: BatchRound) {
  const { requestLines, clients, ms } = round;
  const { counters } = store;
  await store.synced();
  const requests = requestsOf(requestLines);
  const latenciesMs: number[] = [];
  const before = { commits: counters[WRITER.commits]!, lines: counters[WRITER.lines_written]! };
  const syncsBefore = counters[WRITER.syncs]!;
  let sent = 0;
  let unsyncedLines = 0;
  const startMs = monotonicMs();
  const cpu = process.cpuUsage();
  store.serve(
    clients,
    requestLines,
    () => (monotonicMs() - startMs < ms ? requests[sent++ % requests.length]! : null),
    (tookMs) => {
      latenciesMs.push(tookMs);
      // Under `synced` the last lines written have just been synced: what was acknowledged is on disk.
      if (ack !== 'synced') unsyncedLines = Math.max(unsyncedLines, counters[WRITER.unsynced_lines_now]!);
    },
  );
  const elapsedMs = monotonicMs() - startMs;
  const syncs = counters[WRITER.syncs]! - syncsBefore;
  // The lines that caused delayed syncs pay for them.
  await store.synced();
  const { user, system } = process.cpuUsage(cpu);
  const lines = counters[WRITER.lines_written]! - before.lines;
  assert.equal(lines, sent * requestLines, 'every line was written once');
  latenciesMs.sort((a, b) => a - b);
  return {
    linesPerSecond: (lines * 1e3) / elapsedMs,
    /** CPU time of the process, all threads and the kernel's part, for a million lines. */
    cpuSeconds: (user + system) / lines,
    commitLines: lines / (counters[WRITER.commits]! - before.commits),
    syncsPerSecond: (syncs * 1e3) / elapsedMs,
    /** From the commit of a request's lines to their being stored. */
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    /** Most lines that were acknowledged and on no disk yet. */
    unsyncedLines,
  };
}

await verifyStored();
const store = await BenchedStore.open(name, ack, syncIntervalMs);
process.once('exit', () => store.remove());
serveRounds(
  (round: BatchRound) => timeRound(store, round),
  () => store.stop(),
);
