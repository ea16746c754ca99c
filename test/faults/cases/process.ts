/** Events from outside the process: signals, and jumps of the wall clock. */
import assert from 'node:assert/strict';
import { accessSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/assertions.ts';
import { FaultSwitch } from '../../support/fault-switch.ts';
import { temporaryDirectory } from '../../support/server-process.ts';
import { requireTool } from '../../support/tools.ts';
import { type FaultCase, type Form, inLongFormOnly } from './fault-case.ts';
import { type Ack, answered, FaultRun, serveArgs, statusText } from './fault-run.ts';

const SIGNALS: Readonly<Record<Form, number>> = { short: 1, long: 8 };
/** A signal sooner than 200 ms behind the first counts as the same. */
const SECOND_SIGNAL_MS = 300;

function signalCase(phase: number, ack: Ack): FaultCase {
  return {
    name: `SIGTERM twice, phase ${phase}, ${ack}`,
    fault: `SIGTERM under load with a slow disk, and again after ${SECOND_SIGNAL_MS} ms`,
    promise: 'ends at once; nothing acknowledged is lost',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const run = await FaultRun.start(owner, { args: serveArgs(phase, ack), env: faults.env });
      for (; run.tries < SIGNALS[form]; run.tries++) {
        const load = run.startLoad();
        await eventually('the load runs', () => load.ledger.acknowledged >= 1_500);
        // Draining then takes longer than the second signal does to come.
        faults.set({ syncDelayMs: 1_000, writeDelayMs: 400 });
        await delay(100);
        run.server.kill('SIGTERM');
        await delay(SECOND_SIGNAL_MS);
        run.server.kill('SIGTERM');
        await run.server.exited;
        await run.loadsDone();
        faults.clear();
        await run.restart();
      }
      return run.finish();
    },
  };
}

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';

function faketimeRefusal(): string | null {
  const absent = requireTool('faketime');
  if (absent !== false) return absent;
  try {
    accessSync(FAKETIME);
    return null;
  } catch {
    return `${FAKETIME} is not there`;
  }
}

/** Offsets of the wall clock, one after the other. */
const JUMPS = ['+5h', '-5h', '+40d', '+0'] as const;
const JUMP_MS: Readonly<Record<Form, number>> = { short: 800, long: 5_000 };
const RATE = 20;
/** Refill of the bucket while requests are on their way, and the rounding of its clock. */
const RATE_SLACK = 3;
const HOUR_MS = 3_600_000;

/** Names `<load>.<connection>.<number>` that came before a smaller number of their connection. */
function outOfOrder(names: readonly string[]): string[] {
  const last = new Map<string, number>();
  return names.filter((name) => {
    const connection = name.slice(0, name.lastIndexOf('.'));
    const number = Number(name.slice(connection.length + 1));
    const before = last.get(connection) ?? -1;
    last.set(connection, number);
    return number <= before;
  });
}

function clockCase(phase: number): FaultCase {
  return {
    name: `clock jumps, phase ${phase}, synced`,
    fault: `the wall clock jumps by hours and days under load (${JUMPS.join(', ')})`,
    promise: 'limits, ages, order and sequence follow monotonic time; nothing is lost',
    unavailable: faketimeRefusal,
    run: async (owner, form) => {
      const clock = join(temporaryDirectory(owner), 'clock');
      writeFileSync(clock, '+0');
      const limits = [
        '--client-id',
        'header:x-client',
        '--rate-limit',
        String(RATE),
        '--rate-burst',
        String(RATE),
      ];
      const run = await FaultRun.start(owner, {
        args: [
          ...serveArgs(phase, 'synced', ['--segment-age-ms', String(HOUR_MS)]),
          // By size alone no file is ended here: one that is has aged.
          ...['--segment-bytes', '256m', ...limits],
        ],
        env: {
          ...{ LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: clock },
          ...{ FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
        },
      });
      const startedAt = performance.now();
      // A client of its own for each request and one that is always at its limit.
      const free = run.startLoad({
        ...{ connections: 4, withBroken: false },
        headersOf: (connection, first) => ({ 'X-Client': `free-${connection}-${first}` }),
      });
      const greedy = run.startLoad({
        ...{ connections: 2, batchMax: 1, withBroken: false, refusalPauseMs: 10 },
        headersOf: () => ({ 'X-Client': 'greedy' }),
      });
      for (const offset of JUMPS) {
        await delay(JUMP_MS[form]);
        writeFileSync(clock, offset);
        const [before, allowed] = [answered(200, free), answered(200, greedy)];
        await eventually(`served at ${offset}`, () => answered(200, free) > before + 20);
        await eventually(`the bucket fills at ${offset}`, () => answered(200, greedy) > allowed);
        run.tries += 1;
      }
      await run.stopLoads();
      const seconds = (performance.now() - startedAt) / 1_000;
      const most = RATE * (seconds + 1) + RATE_SLACK;
      const allowed = answered(200, greedy);
      assert.ok(allowed <= most, `${allowed} requests in ${seconds} s at ${RATE}/s`);
      assert.equal(answered(429, free), 0, statusText([free]));
      assert.deepEqual(await run.server.stop(), { code: 0, signal: null });
      const names = run.judge();
      assert.deepEqual(outOfOrder(names).slice(0, 3), []);
      const tally = await run.finish(
        `the limited client ${allowed} of ${Math.floor(most)} allowed in ${seconds.toFixed(1)} s`,
      );
      assert.equal(tally.segments, 1, 'a file was ended by the jump of a clock');
      return tally;
    },
  };
}

export const PROCESS_CASES: readonly FaultCase[] = [
  signalCase(6, 'synced'),
  inLongFormOnly(signalCase(6, 'written')),
  inLongFormOnly(signalCase(0, 'synced')),
  clockCase(6),
  inLongFormOnly(clockCase(0)),
];
