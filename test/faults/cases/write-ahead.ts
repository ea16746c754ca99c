/** The disk below the write-ahead log: writes that fail, store only a part, or are slow. */
import assert from 'node:assert/strict';
import { eventually } from '../../support/assertions.ts';
import { Scrape } from '../../support/exposition.ts';
import { FaultSwitch } from '../../support/fault-switch.ts';
import { type FaultCase, type Form, inLongFormOnly } from './fault-case.ts';
import { answered, FaultRun, serveArgs, statusText, UNLIMITED, type Wal, walArgs } from './fault-run.ts';

const PHASE = 7.2;

async function start(owner: Parameters<FaultCase['run']>[0], wal: Wal, faults: FaultSwitch) {
  const args = serveArgs(PHASE, 'synced', [...walArgs(wal), ...UNLIMITED]);
  const run = await FaultRun.start(owner, { args, env: faults.env });
  const { wal: backend } = run.server.logs.find(({ msg }) => msg === 'listening') ?? {};
  assert.ok(String(backend).startsWith(wal), `the server runs another back-end: ${backend}`);
  return run;
}

/** Records of the write-ahead log. The copier counts them, which may itself be waiting for the disk. */
async function recordsCounted(port: number): Promise<number> {
  let records = 0;
  await eventually('the copier counts records', async () => {
    records = (await Scrape.of(port)).sum('metricsstream_wal_records_total');
    return records > 0;
  });
  return records;
}

const FAILING: Readonly<Record<Form, readonly number[]>> = {
  short: [3],
  long: Array.from({ length: 20 }, (_, k) => k + 1),
};

function failingCase(error: 'EIO' | 'ENOSPC', wal: Wal): FaultCase {
  return {
    name: `write-ahead ${error}, phase ${PHASE}, synced, ${wal}`,
    fault: `${error} at the k-th write to the write-ahead log, once`,
    promise: '504 to what was in flight, exit non-zero; nothing acknowledged is lost',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const run = await start(owner, wal, faults);
      let unknown = 0;
      for (const k of FAILING[form]) {
        const load = run.startLoad();
        await eventually('the load runs', () => load.ledger.acknowledged >= 300);
        faults.failAt('wal', k, error);
        const { signal } = await run.endsInFailure();
        assert.equal(signal, null);
        unknown += answered(504, load);
        run.tries += 1;
        await run.restart();
      }
      assert.ok(unknown > 0, 'no request got 504');
      return run.finish();
    },
  };
}

const LOAD_MS: Readonly<Record<Form, number>> = { short: 1_000, long: 5_000 };

function shortCase(wal: Wal): FaultCase {
  return {
    name: `short write-ahead writes, phase ${PHASE}, synced, ${wal}`,
    fault: 'every write to the write-ahead log stores one block',
    promise: 'the rest is written by the next calls; nothing is refused for it',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const run = await start(owner, wal, faults);
      faults.set({ walMostBytes: 1 });
      // Several blocks a record, so that writes are cut.
      const load = run.startLoad({ paddingBytes: 200 });
      await new Promise((resolve) => setTimeout(resolve, LOAD_MS[form]));
      await eventually('metrics are acknowledged', () => load.ledger.acknowledged > 0);
      await run.stopLoads();
      run.tries = await recordsCounted(run.server.port);
      assert.equal(answered(503, load) + answered(504, load), 0, statusText([load]));
      return run.finish('tries are the records');
    },
  };
}

function slowCase(wal: Wal): FaultCase {
  return {
    name: `slow write-ahead writes, phase ${PHASE}, synced, ${wal}`,
    fault: 'every write to the write-ahead log takes 50 ms, then `kill -9`',
    promise: 'nothing acknowledged is lost, nothing refused is stored; answers wait for their write',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const run = await start(owner, wal, faults);
      faults.set({ walDelayMs: 50 });
      const load = run.startLoad();
      await new Promise((resolve) => setTimeout(resolve, LOAD_MS[form]));
      await eventually('metrics are acknowledged', () => load.ledger.acknowledged > 0);
      run.tries = await recordsCounted(run.server.port);
      run.server.kill('SIGKILL');
      await run.endsInFailure();
      const note = `${statusText([load])}; tries are the records`;
      assert.equal(answered(504, load), 0, note);
      faults.clear();
      await run.restart();
      return run.finish(note);
    },
  };
}

export const WRITE_AHEAD_CASES: readonly FaultCase[] = [
  failingCase('EIO', 'io_uring'),
  inLongFormOnly(failingCase('ENOSPC', 'io_uring')),
  inLongFormOnly(failingCase('EIO', 'aio')),
  inLongFormOnly(failingCase('ENOSPC', 'pool')),
  inLongFormOnly(failingCase('EIO', 'pool')),
  shortCase('io_uring'),
  inLongFormOnly(shortCase('aio')),
  inLongFormOnly(shortCase('pool')),
  inLongFormOnly(slowCase('io_uring')),
  inLongFormOnly(slowCase('aio')),
  inLongFormOnly(slowCase('pool')),
];
