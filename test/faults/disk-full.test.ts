import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { type Owner, startServer, verify } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const DISK_BYTES = 48 << 20;
const FILLER_BYTES = 24 << 20;
/** Free space is looked at after 8 MiB at the latest, so a limit above that is never passed by more than half. */
const MIN_FREE_BYTES = 16 << 20;

/** Why a small file system cannot be made here, or false. */
function mountRefusal(): string | false {
  const directory = mkdtempSync(join(tmpdir(), 'metricsstream-mount-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]);
  if (status === 0) spawnSync('umount', [directory]);
  rmdirSync(directory);
  return status === 0 ? false : 'mounting is not permitted here (it takes root)';
}

/** A tmpfs of its own, with a file that can be removed to make room. */
function smallDisk(owner: Owner): { directory: string; filler: string } {
  const directory = mkdtempSync(join(tmpdir(), 'metricsstream-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', directory]);
  assert.equal(mounted.status, 0, mounted.stderr.toString());
  owner.after(() => {
    spawnSync('umount', ['--lazy', directory]);
    rmdirSync(directory);
  });
  const filler = join(directory, 'filler');
  writeFileSync(filler, Buffer.alloc(FILLER_BYTES, 1));
  return { directory, filler };
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

describe('a full disk', { skip: mountRefusal() }, () => {
  for (const [what, minFreeBytes, phase] of [
    ['met by --min-free-bytes', MIN_FREE_BYTES, '6'],
    ['met by a write that fails', 0, '6'],
    ['met by --min-free-bytes', MIN_FREE_BYTES, '0'],
    ['met by a write that fails', 0, '0'],
  ] as const) {
    it(`${what} in phase ${phase} refuses with a reason, stores nothing refused, and is left without a restart`, async (t) => {
      const { directory, filler } = smallDisk(t);
      const dataDir = join(directory, 'data');
      const server = await startServer(t, {
        dataDir,
        args: [
          ...['--phase', phase, '--workers', '2', '--rate-limit', '0', '--segment-bytes', '1m'],
          ...['--min-free-bytes', String(minFreeBytes), '--ack', 'synced'],
        ],
      });
      const load = new TrackedLoad(server.port, {
        ...{ prefix: 'full', connections: 6, batchMax: 40, paddingBytes: 2_000, refusalPauseMs: 20 },
      });
      t.after(() => load.stop());
      const { ledger } = load;
      const answered = (status: number) => ledger.statuses.get(status) ?? 0;

      await eventually('requests are refused', () => answered(503) >= 50, 30_000);
      const refusal = ledger.samples.get(503)!;
      const problem = assertProblem(refusal, 503);
      assertRetryAfter(refusal);
      assert.equal(typeof problem.reason, 'string');
      assert.ok(answered(200) > 0);
      const leftBytes = freeBytes(directory);
      if (minFreeBytes > 0) assert.ok(leftBytes >= minFreeBytes / 2, `${leftBytes} bytes are left`);
      assertProblem(await fetchOnce(server.port, { path: '/ready' }), 503);
      assert.equal((await fetchOnce(server.port, { path: '/health' })).status, 200);

      rmSync(filler);
      const before = answered(200);
      await eventually('requests are stored again', () => answered(200) >= before + 20, 30_000);
      await eventually('the server is ready', async () => {
        return (await fetchOnce(server.port, { path: '/ready' })).status === 200 || answered(503) > 0;
      });
      await load.stop();
      assert.deepEqual(await server.stop(), { code: 0, signal: null });

      const { unknownStored } = ledger.check(countNames(readStored(dataDir)), 'full');
      t.diagnostic(
        `acknowledged ${ledger.count('acknowledged')}, refused ${ledger.count('refused')}, ` +
          `unknown ${ledger.count('unknown')} (stored ${unknownStored}), statuses ${JSON.stringify([...ledger.statuses])}`,
      );
      const check = await verify(dataDir);
      assert.equal(check.code, 0, check.stdout + check.stderr);
    });
  }
});
