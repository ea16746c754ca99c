/**
 * Faults of writes to the write-ahead log. Such writes bypass `FileOps`, so this replaces the calls below: the
 * functions of the addon (io_uring and AIO), whose exports all modules of a thread share, and `fs.write` of the thread pool.
 * Calls without a fault reach the real kernel.
 */
import fs from 'node:fs';
import os from 'node:os';
import { loadBlockWrites } from '../../src/wal/kernel-writer.ts';
import { type Fault, systemError } from './fault-file-ops.ts';

type Addon = ReturnType<typeof loadBlockWrites>;
type Queue = ReturnType<Addon['open']>;
type WrittenCallback = (error: Error | null, bytes: number) => void;

/** Direct writes store whole blocks. */
const BLOCK_BYTES = 4096;
const ERRNO: Readonly<Record<string, number>> = os.constants.errno;

/** How a queue hands over its completions. */
interface Completions {
  readonly results: Int32Array;
  readonly notify: (count: number) => void;
}

const blocksWithin = (bytes: number, atMost = bytes): number =>
  Math.max(BLOCK_BYTES, Math.floor(Math.min(bytes, atMost) / BLOCK_BYTES) * BLOCK_BYTES);

/** Replaces the functions of the addon in this thread. Does nothing where the addon is missing. */
function replaceAddon(faultOf: (bytes: number) => Fault): void {
  let addon: Addon;
  try {
    addon = loadBlockWrites();
  } catch {
    return;
  }
  const { open, write } = addon;
  const completionsOf = new WeakMap<Queue, Completions>();
  const complete = (queue: Queue, tag: number, result: number): void => {
    const { results, notify } = completionsOf.get(queue)!;
    results[0] = tag;
    results[1] = result;
    notify(1);
  };
  addon.open = (engine, fd, memory, results, notify) => {
    const queue = open(engine, fd, memory, results, notify);
    completionsOf.set(queue, { results, notify });
    return queue;
  };
  addon.write = (queue, memoryOffset, bytes, fileOffset, tag) => {
    const { error, atMost, delayMs = 0 } = faultOf(bytes);
    const submit = () => write(queue, memoryOffset, blocksWithin(bytes, atMost), fileOffset, tag);
    if (error === undefined && delayMs === 0) return submit();
    setTimeout(() => {
      const status = error === undefined ? submit() : -(ERRNO[error] ?? 1);
      if (status < 0) complete(queue, tag, status);
    }, delayMs);
    return 0;
  };
}

/** Replaces `fs.write` in this thread: of serving threads only the pool's block writer calls it. */
function replacePool(faultOf: (bytes: number) => Fault): void {
  const { write } = fs;
  const replaced = (
    fd: number,
    memory: Uint8Array,
    offset: number,
    bytes: number,
    position: number,
    done: WrittenCallback,
  ): void => {
    const { error, atMost, delayMs = 0 } = faultOf(bytes);
    const submit = () => write(fd, memory, offset, blocksWithin(bytes, atMost), position, done);
    if (error === undefined && delayMs === 0) return submit();
    setTimeout(() => {
      if (error === undefined) submit();
      else done(systemError(error, 'write'), 0);
    }, delayMs);
  };
  fs.write = replaced as typeof fs.write;
}

export function replaceWalWrites(faultOf: (bytes: number) => Fault): void {
  replaceAddon(faultOf);
  replacePool(faultOf);
}
