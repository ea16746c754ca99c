/** The addon must never end the process: threads end at any moment, with writes in flight. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { createWalFile, walPath } from '../../src/wal/wal-file.ts';
import { addonIsMissing } from './rig.ts';

const ENTRY = new URL('./termination-worker.js', import.meta.url);
const FILE_BLOCKS = 64;
/** METRICSSTREAM_LONG=1 runs the long form. */
const ROUNDS = process.env.METRICSSTREAM_LONG === '1' ? 1_000 : 40;

/** Descriptors of this process that a queue has: the file, an io_uring, an eventfd. Event loops have some, too. */
function openDescriptors(path: string): number {
  const targets = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target === path || /io_uring|eventfd/.test(target)).length;
}

for (const [what, exits, engine] of [
  ['terminated by another thread', false, 'io_uring'],
  ['terminated by another thread', false, 'aio'],
  ['ending by themselves', true, 'io_uring'],
  ['ending by themselves', true, 'aio'],
] as const) {
  it(`${engine}: workers ${what} with writes in flight never end the process (${ROUNDS} times)`, {
    skip: addonIsMissing(),
  }, async () => {
    fs.mkdirSync('.artifacts', { recursive: true });
    const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
    const header = { lane: 0, generation: 1, checkpoint: 0, start: 0 };
    createWalFile(nodeFileOps, dataDir, FILE_BLOCKS * BLOCK_BYTES, header);
    const path = walPath(dataDir, 0);
    const before = openDescriptors(path);
    for (let round = 0; round < ROUNDS; round++) {
      const worker = new Worker(ENTRY, { workerData: { engine, path, fileBlocks: FILE_BLOCKS, exits } });
      const ended = once(worker, 'exit');
      await once(worker, 'message');
      // At another point of a write each time.
      for (let turn = 0; turn < round % 7; turn++) await new Promise(setImmediate);
      if (!exits) await worker.terminate();
      await ended;
    }
    assert.equal(openDescriptors(path), before, 'no queue and no file stays open');
    fs.rmSync(dataDir, { recursive: true });
  });
}
