/** Storage that fails, does only a part of its work, or is slow. */
import assert from 'node:assert/strict';
import { eventually } from '../../support/assertions.ts';
import { FaultSwitch } from '../../support/fault-switch.ts';
import { requireTool } from '../../support/tools.ts';
import { type FaultCase, type Form, inLongFormOnly } from './fault-case.ts';
import {
  type Ack,
  answered,
  FaultRun,
  serveArgs,
  statusText,
  UNLIMITED,
  type Wal,
  walArgs,
} from './fault-run.ts';

const UNHARMED = 'nothing acknowledged is lost, nothing refused is stored';
/** So that large commits, written in several calls past the page cache, are among those hit. */
const SOME_DIRECT = ['--direct-bytes', '8k'];

const WRITES: Readonly<Record<Form, { readonly rounds: number; readonly most: number }>> = {
  short: { rounds: 1, most: 20 },
  long: { rounds: 3, most: 20 },
};

function writeCase(error: 'ENOSPC' | 'EIO', phase: number, ack: Ack): FaultCase {
  return {
    name: `write ${error}, phase ${phase}, ${ack}`,
    fault: `${error} at the k-th write, k = 1…20`,
    promise: `${UNHARMED}; storing resumes without a restart`,
    run: async (owner, form) => {
      const { rounds, most } = WRITES[form];
      const faults = new FaultSwitch(owner);
      const run = await FaultRun.start(owner, { args: serveArgs(phase, ack, SOME_DIRECT), env: faults.env });
      const load = run.startLoad();
      for (; run.tries < rounds * most; run.tries++) {
        const struck = faults.failAt('write', 1 + (run.tries % most), error);
        await eventually(`write ${1 + (run.tries % most)} fails`, struck);
        await run.storesAgain(performance.now());
      }
      assert.ok(answered(503, load) > 0, 'a failed write was not told');
      return run.finish(statusText([load]));
    },
  };
}

const SYNCS: Readonly<Record<Form, readonly number[]>> = {
  short: [1, 4],
  long: Array.from({ length: 10 }, (_, k) => k + 1),
};

function syncCase(phase: number, ack: Ack): FaultCase {
  return {
    name: `sync EIO, phase ${phase}, ${ack}`,
    fault: 'EIO at the k-th sync, once',
    promise: '504 to its group, exit non-zero; nothing acknowledged is lost',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const args = serveArgs(phase, ack, ['--sync-interval-ms', '50']);
      const run = await FaultRun.start(owner, { args, env: faults.env });
      for (const k of SYNCS[form]) {
        const load = run.startLoad();
        await eventually('the load runs', () => load.ledger.acknowledged >= 700);
        faults.failAt('sync', k, 'EIO');
        const { signal } = await run.endsInFailure();
        assert.equal(signal, null);
        run.tries += 1;
        await run.restart();
      }
      return run.finish();
    },
  };
}

/** Runs the server under strace, which fails some of its system calls: the kernel's own answer, not the seam's. */
function kernelFault(calls: string, fault: string): readonly string[] {
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${fault}`];
  return ['strace', '--follow-forks', '--quiet=all', '--output=/dev/null', '--seccomp-bpf', ...inject];
}

const kernelWrite: FaultCase = {
  name: 'write ENOSPC by the kernel, phase 6, synced',
  fault: 'ENOSPC from the system call itself (strace), at every 20th write from the 20th to the 120th',
  promise: `${UNHARMED}; storing resumes without a restart`,
  unavailable: () => requireTool('strace') || null,
  run: async (owner) => {
    // With a position, which sockets and pipes do not have: files alone are hit.
    const wrapper = kernelFault('pwritev,pwrite64', 'error=ENOSPC:when=20..120+20');
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'synced', SOME_DIRECT), wrapper });
    const load = run.startLoad();
    const errors = () => run.scraped('metricsstream_write_errors_total');
    await eventually('writes fail', async () => (await errors()) >= 4, 180_000);
    await run.storesAgain(performance.now());
    run.tries = await errors();
    return run.finish(statusText([load]));
  },
};

const kernelSync: FaultCase = {
  name: 'sync EIO by the kernel, phase 6, synced',
  fault: 'EIO from the system call itself (strace), from the 40th sync on',
  promise: '504 to its group, exit non-zero; nothing acknowledged is lost',
  unavailable: () => requireTool('strace') || null,
  run: async (owner) => {
    const wrapper = kernelFault('fdatasync', 'error=EIO:when=40+');
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'synced'), wrapper });
    const load = run.startLoad();
    await run.endsInFailure();
    run.tries += 1;
    const note = statusText([load]);
    assert.ok(answered(200, load) > 0 && answered(504, load) > 0, note);
    await run.restart();
    return run.finish(note);
  },
};

const WAL_BYTES = 64 << 20;

const kernelWal: FaultCase = {
  name: 'write-ahead EIO by the kernel, phase 7.2, synced, pool',
  fault: 'EIO from the system call itself (strace), from the 400th write with a position on',
  promise: '504 to what was in flight, exit non-zero; nothing acknowledged is lost',
  unavailable: () => requireTool('strace') || null,
  run: async (owner) => {
    // The files of two workers take some 130 writes; all later ones are commits and checkpoints.
    const wrapper = kernelFault('pwrite64', 'error=EIO:when=400+');
    const args = serveArgs(7.2, 'synced', ['--wal-bytes', String(WAL_BYTES), ...walArgs('pool')]);
    const run = await FaultRun.start(owner, { args, wrapper });
    const load = run.startLoad();
    await run.endsInFailure();
    run.tries += 1;
    const note = statusText([load]);
    assert.ok(answered(200, load) > 0 && answered(504, load) > 0, note);
    await run.restart();
    return run.finish(note);
  },
};

function kernelCopy(wal: Wal): FaultCase {
  return {
    name: `copy ENOSPC by the kernel, phase 7.2, synced, ${wal}`,
    fault:
      'ENOSPC from the system call itself (strace), at every 20th append to a segment from the 20th to the 80th',
    promise: `${UNHARMED}; copying and storing resume without a restart`,
    unavailable: () => requireTool('strace') || null,
    run: async (owner) => {
      const wrapper = kernelFault('pwritev', 'error=ENOSPC:when=20..80+20');
      const run = await FaultRun.start(owner, { args: serveArgs(7.2, 'synced', walArgs(wal)), wrapper });
      const load = run.startLoad();
      const errors = () => run.scraped('metricsstream_write_errors_total');
      await eventually('appends fail', async () => (await errors()) >= 4, 180_000);
      await run.storesAgain(performance.now());
      run.tries = await errors();
      return run.finish(statusText([load]));
    },
  };
}

const LOAD_MS: Readonly<Record<Form, number>> = { short: 1_000, long: 5_000 };

function shortWriteCase(phase: number, ack: Ack): FaultCase {
  return {
    name: `short writes, phase ${phase}, ${ack}`,
    fault: 'every write stores 700 bytes at most',
    promise: 'the rest is written by the next calls; nothing is refused for it',
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const args = serveArgs(phase, ack, [...SOME_DIRECT, ...UNLIMITED]);
      const run = await FaultRun.start(owner, { args, env: faults.env });
      faults.set({ writeMostBytes: 700 });
      const load = run.startLoad();
      await new Promise((resolve) => setTimeout(resolve, LOAD_MS[form]));
      const shortWrites = () => run.scraped('metricsstream_short_writes_total');
      await eventually('a write was cut short', async () => (await shortWrites()) > 0);
      await run.stopLoads();
      run.tries = await shortWrites();
      assert.equal(answered(503, load) + answered(504, load), 0, statusText([load]));
      return run.finish('tries are the short writes counted');
    },
  };
}

function slowSyncCase(phase: number): FaultCase {
  return {
    name: `slow sync, phase ${phase}, synced`,
    fault: 'every sync takes 200 ms, then `kill -9`',
    promise: `${UNHARMED}; answers wait for their sync`,
    run: async (owner, form) => {
      const faults = new FaultSwitch(owner);
      const run = await FaultRun.start(owner, { args: serveArgs(phase, 'synced'), env: faults.env });
      faults.set({ syncDelayMs: 200 });
      const load = run.startLoad();
      await new Promise((resolve) => setTimeout(resolve, 2 * LOAD_MS[form]));
      await eventually('a slow sync was acknowledged', () => load.ledger.acknowledged > 0);
      run.tries = await run.scraped('metricsstream_syncs_total');
      run.server.kill('SIGKILL');
      await run.endsInFailure();
      const note = `${statusText([load])}; tries are the syncs`;
      assert.equal(answered(504, load), 0, note);
      faults.clear();
      await run.restart();
      return run.finish(note);
    },
  };
}

export const STORAGE_CASES: readonly FaultCase[] = [
  writeCase('ENOSPC', 6, 'synced'),
  inLongFormOnly(writeCase('EIO', 6, 'written')),
  inLongFormOnly(writeCase('ENOSPC', 0, 'written')),
  writeCase('EIO', 0, 'synced'),
  shortWriteCase(6, 'written'),
  shortWriteCase(0, 'synced'),
  syncCase(6, 'synced'),
  inLongFormOnly(syncCase(6, 'written')),
  syncCase(0, 'synced'),
  kernelWrite,
  kernelSync,
  kernelWal,
  kernelCopy('io_uring'),
  kernelCopy('pool'),
  slowSyncCase(6),
  inLongFormOnly(slowSyncCase(0)),
];
