/** `kill -9` of the process under load, again and again on one data directory. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/assertions.ts';
import { FaultSwitch } from '../../support/fault-switch.ts';
import { residentBytes } from '../../support/server-process.ts';
import type { FaultCase } from './fault-case.ts';
import { type Ack, answered, FaultRun, serveArgs, type Wal, walArgs } from './fault-run.ts';

const READY_MS = 2_000;
const LIMITS = ['--client-id', 'header:x-client', '--rate-limit', '300', '--rate-burst', '20'];

interface Kills {
  readonly phase: number;
  readonly ack: Ack;
  readonly kills: { readonly short: number; readonly long: number };
  /** The load runs this long before the kill, so that kills fall at different places of a commit. */
  readonly loadMs: { readonly least: number; readonly spread: number };
  /** Back-end of the write-ahead log. */
  readonly wal?: Wal;
  readonly longOnly?: boolean;
  /** Writes take so long that there is a queue to lose. */
  readonly writeDelayMs?: number;
}

const LAST = { phase: 6, kills: { short: 3, long: 30 }, loadMs: { least: 150, spread: 450 } } as const;
const EARLIER = { kills: { short: 2, long: 10 }, loadMs: { least: 400, spread: 450 } } as const;
/** Enough for requests to be served although each starts a thread. */
const THREADS = { kills: { short: 1, long: 10 }, loadMs: { least: 800, spread: 450 } } as const;
const ALL: readonly Kills[] = [
  { ...LAST, ack: 'written' },
  { ...LAST, ack: 'synced' },
  { ...LAST, phase: 7.2, ack: 'synced', wal: 'io_uring' },
  { ...LAST, phase: 7.2, ack: 'synced', wal: 'aio', kills: { short: 2, long: 30 } },
  { ...LAST, phase: 7.2, ack: 'synced', wal: 'pool' },
  { ...LAST, ack: 'received', kills: { short: 2, long: 20 }, writeDelayMs: 40 },
  { ...EARLIER, phase: 0, ack: 'written', longOnly: true },
  { ...EARLIER, phase: 0, ack: 'synced' },
  { ...THREADS, phase: 1, ack: 'synced', longOnly: true },
  { ...THREADS, phase: 5, ack: 'synced' },
];

function killCase({ phase, ack, kills, loadMs, writeDelayMs, wal, longOnly = false }: Kills): FaultCase {
  return {
    longOnly,
    name: `kill, phase ${phase}, ${ack}${wal === undefined ? '' : `, ${wal}`}`,
    fault: `\`kill -9\` under load${writeDelayMs === undefined ? '' : `, writes taking ${writeDelayMs} ms`}`,
    promise:
      ack === 'received'
        ? 'loses at most the queue that the gauges name'
        : 'nothing acknowledged is lost; ready again within 2 s',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      if (writeDelayMs !== undefined) faults.set({ writeDelayMs });
      const run = await FaultRun.start(owner, {
        args: serveArgs(phase, ack, [...LIMITS, ...walArgs(wal)]),
        env: faults.env,
      });
      let limited = 0;
      for (; run.tries < kills[form]; run.tries++) {
        const free = run.startLoad({ headersOf: (connection) => ({ 'X-Client': `free-${connection}` }) });
        const greedy = run.startLoad({
          ...{ connections: 4, batchMax: 5, withBroken: false },
          headersOf: () => ({ 'X-Client': 'greedy' }),
        });
        await eventually('the load runs', () => free.ledger.acknowledged >= 10);
        await delay(loadMs.least + Math.random() * loadMs.spread);
        await run.strike({ queued: ack === 'received', unsynced: false }, () => run.server.kill('SIGKILL'));
        assert.equal((await run.server.exited).signal, 'SIGKILL');
        limited += answered(429, free, greedy);
        await run.restart();
      }
      // Beside other tests a start waits for its turn; one that is slow by itself is slow each time.
      assert.ok(
        form === 'short' || run.fastestRecoveryMs < READY_MS,
        `no start took less than ${READY_MS} ms`,
      );
      return run.finish(`${limited} requests limited`);
    },
  };
}

interface Soak {
  readonly kills: number;
  readonly everyMs: number;
}

const SOAK: Readonly<Record<'short' | 'long', Soak>> = {
  short: { kills: 2, everyMs: 1_500 },
  long: { kills: 30, everyMs: 20_000 },
};
const GROWTH_BYTES = 192 << 20;

const soak: FaultCase = {
  name: 'soak, phase 6, synced',
  fault: 'a soak with a `kill -9` every 20 s, for 10 minutes in the long form',
  promise: 'nothing acknowledged is lost; memory stays flat',
  run: async (owner, form) => {
    const { kills, everyMs } = SOAK[form];
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'synced', LIMITS) });
    let mostGrown = 0;
    for (; run.tries < kills; run.tries++) {
      const load = run.startLoad({
        headersOf: (connection) => ({ 'X-Client': `soak-${connection}` }),
        pauseMs: 2,
      });
      await eventually('the load runs', () => load.ledger.acknowledged > 0);
      await delay(everyMs / 4);
      const warmBytes = residentBytes(run.server.pid);
      await delay((everyMs * 3) / 4);
      mostGrown = Math.max(mostGrown, residentBytes(run.server.pid) - warmBytes);
      await run.strike({ queued: false, unsynced: false }, () => run.server.kill('SIGKILL'));
      await run.restart();
    }
    assert.ok(mostGrown < GROWTH_BYTES, `grew by ${mostGrown >> 20} MiB between two kills`);
    return run.finish(
      `a kill every ${everyMs / 1_000} s; grew by ${Math.max(0, mostGrown) >> 20} MiB at most`,
    );
  },
};

export const KILL_CASES: readonly FaultCase[] = [...ALL.map(killCase), soak];
