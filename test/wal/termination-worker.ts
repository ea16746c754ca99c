/** A worker that always has writes in flight, until it is terminated or exits. */
import { parentPort, workerData } from 'node:worker_threads';
import { openAioWriter, openUringWriter } from '../../src/wal/kernel-writer.ts';
import { createLaneMemory, viewsOf } from '../../src/wal/lane-memory.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';

const { engine, path, fileBlocks, exits } = workerData as {
  engine: 'io_uring' | 'aio';
  path: string;
  fileBlocks: number;
  exits: boolean;
};
const { bytes } = viewsOf(createLaneMemory(1 << 20));
let next = 1;
const open = engine === 'aio' ? openAioWriter : openUringWriter;
const writer = open(path, bytes, () => submit());

function submit(): void {
  const block = next++;
  writer.write(
    (block % 4) * BLOCK_BYTES,
    BLOCK_BYTES,
    (1 + (block % (fileBlocks - 1))) * BLOCK_BYTES,
    block & 0xffff,
  );
}

for (let k = 0; k < writer.depth; k++) submit();
// The queue keeps no event loop alive by itself.
setInterval(() => {}, 1_000);
parentPort!.postMessage('writing');
if (exits) setImmediate(() => process.exit(0));
