/** A thread that dies: what it owned cannot be trusted, so the process ends and the next start recovers. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withPreload } from '../../../load-test/faults/disk-faults.ts';
import { eventually } from '../../support/assertions.ts';
import { FaultSwitch } from '../../support/fault-switch.ts';
import { temporaryDirectory } from '../../support/server-process.ts';
import { BUG_FILE_VARIABLE, type Terminated } from '../../support/thread-bug.ts';
import type { FaultCase, Form } from './fault-case.ts';
import { type Ack, FaultRun, serveArgs } from './fault-run.ts';

const PRELOAD = fileURLToPath(new URL('../../support/thread-bug.js', import.meta.url));
const TRIES: Readonly<Record<Form, number>> = { short: 1, long: 5 };

interface Death {
  readonly what: string;
  readonly phase: number;
  readonly ack: Ack;
  /** The writer's fault is thrown from its file operations, any other by the preloaded module. */
  readonly kind: 'writer throws' | Terminated;
}

const DEATHS: readonly Death[] = [
  { what: 'the writer throws', phase: 6, ack: 'written', kind: 'writer throws' },
  { what: 'the writer throws', phase: 0, ack: 'synced', kind: 'writer throws' },
  { what: 'an ingest worker throws', phase: 6, ack: 'synced', kind: '' },
  { what: "a request's own thread throws", phase: 5, ack: 'synced', kind: '' },
  { what: 'the writer is terminated', phase: 6, ack: 'synced', kind: 'writer' },
  { what: 'an ingest worker is terminated', phase: 6, ack: 'written', kind: 'ingest' },
];

function deathCase({ what, phase, ack, kind }: Death): FaultCase {
  return {
    name: `thread: ${what}, phase ${phase}, ${ack}`,
    fault: `a thread dies under load: ${what}`,
    promise: 'the process ends non-zero and says why; nothing acknowledged is lost',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const bugPath = join(temporaryDirectory(owner), 'bug');
      const run = await FaultRun.start(owner, {
        args: serveArgs(phase, ack),
        env: { ...withPreload(faults.env, PRELOAD), [BUG_FILE_VARIABLE]: bugPath },
      });
      // Enough for a rotation, where a request does not cost a thread.
      const loadMetrics = phase === 5 ? 50 : 1_500;
      for (; run.tries < TRIES[form]; run.tries++) {
        const load = run.startLoad();
        await eventually('the load runs', () => load.ledger.acknowledged >= loadMetrics);
        if (kind === 'writer throws') faults.set({ crash: true });
        else writeFileSync(bugPath, kind);
        await run.endsInFailure();
        const fatal = JSON.stringify(run.server.logs.filter((line) => line.level === 'fatal'));
        if (kind !== 'ingest') {
          assert.match(fatal, /injected: a bug in|the writer thread ended/, run.server.output());
        }
        faults.clear();
        rmSync(bugPath, { force: true });
        await run.restart();
      }
      return run.finish();
    },
  };
}

export const THREAD_CASES: readonly FaultCase[] = DEATHS.map(deathCase);
