/**
 * `kill -9` under load, again and again on one data directory. What a client was told must hold afterwards:
 * acknowledged metrics are there once, refused ones never.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startServer, temporaryDirectory, verify } from '../support/server-process.ts';
import { countNames, readSegment, segmentPaths } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const LONG = process.env.METRICSSTREAM_LONG === '1';
const READY_MS = 2_000;

interface Kills {
  readonly phase: number;
  readonly ack: 'written' | 'synced';
  readonly kills: number;
  /** The load runs this long before the kill, so that kills fall at different places of a commit. */
  readonly loadMs: { readonly least: number; readonly spread: number };
  /** What has to have happened, or nothing was shown. */
  readonly seen: readonly ('acknowledged' | 'refused' | 'unknown' | 'limited')[];
}

const spread = LONG ? 3_000 : 450;
const LAST = {
  ...{ phase: 6, kills: LONG ? 100 : 20, loadMs: { least: 150, spread } },
  seen: ['acknowledged', 'refused', 'unknown', 'limited'],
} as const;
const EARLIER = {
  ...{ kills: LONG ? 40 : 4, loadMs: { least: 500, spread } },
  seen: ['acknowledged', 'unknown'],
} as const;
/** Enough for requests to be served although each starts a thread. */
const THREADS = { ...EARLIER, loadMs: { least: 1_500, spread } };
const CASES: readonly Kills[] = [
  { ...LAST, ack: 'written' },
  { ...LAST, ack: 'synced' },
  { ...EARLIER, phase: 0, ack: 'written' },
  { ...EARLIER, phase: 0, ack: 'synced' },
  { ...THREADS, phase: 1, ack: 'synced' },
  { ...THREADS, phase: 5, ack: 'synced' },
];

/** Reads each segment once: a restart never appends to an old one, so what was read holds. */
class SegmentReader {
  private readonly read = new Set<string>();

  newLines(dataDir: string) {
    return segmentPaths(dataDir)
      .filter((path) => !this.read.has(path))
      .flatMap((path) => {
        this.read.add(path);
        return readSegment(path);
      });
  }
}

describe('kill -9 under load', () => {
  for (const { phase, ack, kills, loadMs, seen } of CASES) {
    it(`loses nothing acknowledged and stores nothing refused, ${kills} times in phase ${phase} with --ack ${ack}`, async (t) => {
      const dataDir = temporaryDirectory(t);
      const args = [
        ...['--phase', String(phase), '--workers', '2', '--ack', ack, '--segment-bytes', '1m'],
        ...['--client-id', 'header:x-client', '--rate-limit', '300', '--rate-burst', '20'],
      ];
      const reader = new SegmentReader();
      const totals = {
        acknowledged: 0,
        refused: 0,
        unknown: 0,
        unknownStored: 0,
        limited: 0,
        slowestReadyMs: 0,
      };
      let slowStarts = 0;
      let server = await startServer(t, { args, dataDir });
      for (let round = 0; round < kills; round++) {
        const prefix = `kill.${round}`;
        const free = new TrackedLoad(server.port, {
          ...{ prefix: `${prefix}.free`, connections: 8, batchMax: 30, withBroken: true },
          ...{ headersOf: (connection) => ({ 'X-Client': `free-${connection}` }), refusalPauseMs: 5 },
        });
        const limited = new TrackedLoad(server.port, {
          ...{ prefix: `${prefix}.limited`, connections: 4, batchMax: 5 },
          headersOf: () => ({ 'X-Client': 'limited' }),
        });
        await delay(loadMs.least + Math.random() * loadMs.spread);
        server.kill('SIGKILL');
        assert.equal((await server.exited).signal, 'SIGKILL');
        await Promise.all([free.done, limited.done]);

        const startedAt = performance.now();
        server = await startServer(t, { args, dataDir });
        const readyMs = performance.now() - startedAt;
        if (readyMs > READY_MS) slowStarts += 1;
        totals.slowestReadyMs = Math.max(totals.slowestReadyMs, Math.round(readyMs));

        const stored = countNames(reader.newLines(dataDir));
        for (const [load, name] of [
          [free, `${prefix}.free`],
          [limited, `${prefix}.limited`],
        ] as const) {
          totals.unknownStored += load.ledger.check(stored, name).unknownStored;
          totals.acknowledged += load.ledger.count('acknowledged');
          totals.refused += load.ledger.count('refused');
          totals.unknown += load.ledger.count('unknown');
          totals.limited += load.ledger.statuses.get(429) ?? 0;
        }
      }
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      t.diagnostic(
        `phase ${phase}, --ack ${ack}, ${kills} kills: ${JSON.stringify(totals)}; 0 lost, 0 refused stored, 0 twice`,
      );
      // Beside other tests on two cores some starts wait for their turn; one that is slow by itself is slow each time.
      assert.ok(slowStarts <= kills / 2, `${slowStarts} starts took over ${READY_MS} ms`);
      const check = await verify(dataDir);
      assert.equal(check.code, 0, check.stdout + check.stderr);
      for (const what of seen) assert.ok(totals[what] > 0, `${what}: none, so nothing was shown`);
    });
  }
});
