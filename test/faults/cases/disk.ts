/** File systems that fill up, and machines that lose their power. */
import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { assertProblem, assertRetryAfter, eventually } from '../../support/assertions.ts';
import { loopRefusal, mountRefusal, PrivateMount } from '../../support/private-mount.ts';
import { fetchOnce } from '../../support/raw-http.ts';
import { temporaryDirectory } from '../../support/server-process.ts';
import { requireTool } from '../../support/tools.ts';
import { type FaultCase, type Form, inLongFormOnly } from './fault-case.ts';
import { type Ack, answered, FaultRun, serveArgs, statusText, type Wal, walArgs } from './fault-run.ts';

const DISK_BYTES = 64 << 20;
const MIN_FREE_BYTES = 16 << 20;
/** Bytes left on the full disk for the load to fill. */
const LEFT_BYTES = 128 << 10;
const FILLS: Readonly<Record<Form, number>> = { short: 2, long: 8 };

interface Fill {
  readonly phase: number;
  readonly ack: Ack;
  /** 0: a write meets the end of the disk; otherwise the server refuses before. */
  readonly minFreeBytes: number;
}

const FILL_CASES: readonly Fill[] = [
  { phase: 6, ack: 'synced', minFreeBytes: MIN_FREE_BYTES },
  { phase: 6, ack: 'written', minFreeBytes: 0 },
  { phase: 0, ack: 'synced', minFreeBytes: MIN_FREE_BYTES },
  { phase: 0, ack: 'written', minFreeBytes: 0 },
];

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

function fillCase({ phase, ack, minFreeBytes }: Fill): FaultCase {
  const met = minFreeBytes > 0 ? '`--min-free-bytes`' : 'a failing write';
  return {
    name: `disk full, phase ${phase}, ${ack}`,
    fault: `a tmpfs fills up, met by ${met}, and is freed`,
    promise: '503 with the reason, nothing refused is stored; storing resumes without a restart',
    unavailable: mountRefusal,
    run: async (owner, form) => {
      const mount = await PrivateMount.open(owner);
      await mount.run(`mount -t tmpfs -o size=${DISK_BYTES} tmpfs ${mount.inside}`);
      const filler = join(mount.directory, 'filler');
      const run = await FaultRun.start(owner, {
        args: serveArgs(phase, ack, ['--min-free-bytes', String(minFreeBytes)]),
        dataDir: join(mount.directory, 'data'),
      });
      const load = run.startLoad({ paddingBytes: 200 });
      for (; run.tries < FILLS[form]; run.tries++) {
        const stored = answered(200, load);
        await eventually('the load runs', () => answered(200, load) >= stored + 20);
        const refused = answered(503, load);
        writeFileSync(filler, Buffer.alloc(freeBytes(mount.directory) - minFreeBytes - LEFT_BYTES, 1));
        await eventually('requests are refused', () => answered(503, load) >= refused + 20);
        const refusal = load.ledger.samples.get(503)!;
        assert.equal(typeof assertProblem(refusal, 503).reason, 'string');
        assertRetryAfter(refusal);
        assertProblem(await fetchOnce(run.server.port, { path: '/ready' }), 503);
        assert.equal((await fetchOnce(run.server.port, { path: '/health' })).status, 200);
        assert.ok(freeBytes(mount.directory) >= minFreeBytes / 2, 'the reserve was used up');
        rmSync(filler);
        await run.storesAgain(performance.now());
      }
      return run.finish(statusText([load]));
    },
  };
}

const CUTS: Readonly<Record<Form, number>> = { short: 2, long: 10 };

/**
 * The ioctl stops the file system at once, as a machine without power would: what was not flushed is not written any
 * more, not even the file system's own log. Then it is mounted anew, its log replayed, and the server started on it.
 */
function powerCase(phase: number, ack: Ack, wal?: Wal): FaultCase {
  return {
    name: `power loss, phase ${phase}, ${ack}${wal === undefined ? '' : `, ${wal}`}`,
    fault: 'an ext4 file system is shut down under load without flushing, and mounted again',
    promise: {
      received: 'loses at most what the gauges name as queued and unsynced',
      written: 'loses at most what the gauges name as unsynced',
      synced: 'nothing acknowledged is lost',
    }[ack],
    unavailable: () => loopRefusal() ?? (requireTool('xfs_io', 'xfsprogs') || null),
    run: async (owner, form) => {
      const mount = await PrivateMount.open(owner);
      const image = join(temporaryDirectory(owner), 'image');
      await mount.run(`truncate -s 256M ${image} && mkfs.ext4 -q -F ${image}`);
      // The loop device is taken down by the kernel with its last mount.
      const mountImage = `mount -o loop ${image} ${mount.inside}`;
      await mount.run(mountImage);
      const run = await FaultRun.start(owner, {
        args: serveArgs(phase, ack, ['--min-free-bytes', '0', ...walArgs(wal)]),
        dataDir: join(mount.directory, 'data'),
      });
      const unsafe = { queued: ack === 'received', unsynced: ack !== 'synced' };
      for (; run.tries < CUTS[form]; run.tries++) {
        const load = run.startLoad({ withBroken: false });
        await eventually('the load runs', () => load.ledger.acknowledged >= 200);
        await delay(200 + Math.random() * 1_200);
        await run.strike(unsafe, async () => {
          // Nor does such a machine answer: ext4 here can let a sync that is under way succeed although it was cut off.
          run.server.kill('SIGSTOP');
          await mount.run(`xfs_io -x -c shutdown ${mount.inside}`);
          run.server.kill('SIGKILL');
        });
        // The kernel ends the writes of an io_uring behind the process that was killed.
        await mount.unmount();
        await mount.run(mountImage);
        await run.restart();
      }
      return run.finish();
    },
  };
}

export const DISK_CASES: readonly FaultCase[] = [
  ...FILL_CASES.map(fillCase),
  powerCase(6, 'synced'),
  powerCase(7.2, 'synced', 'io_uring'),
  inLongFormOnly(powerCase(7.2, 'synced', 'aio')),
  powerCase(7.2, 'synced', 'pool'),
  inLongFormOnly(powerCase(6, 'written')),
  powerCase(6, 'received'),
  inLongFormOnly(powerCase(0, 'synced')),
];
