/** A worker that always has writes in flight, until it is terminated or exits. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLaneMemory, viewsOf } from '../../src/wal/lane-memory.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { openUringWriter } from '../../src/wal/uring-writer.ts';

const { path, fileBlocks, exits } = workerData as { path: string; fileBlocks: number; exits: boolean };
const { bytes } = viewsOf(createLaneMemory(1 << 20));
let next = 1;
const writer = openUringWriter(path, bytes, () => submit());

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
// The ring keeps no event loop alive by itself.
setInterval(() => {}, 1_000);
parentPort!.postMessage('writing');
if (exits) setImmediate(() => process.exit(0));
