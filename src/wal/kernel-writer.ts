/**
 * Block writes that the kernel performs by itself: submitted from the event loop, completed through it, without a thread
 * in between. Through io_uring, or, where that is forbidden, through Linux AIO.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import type { BlockWriter, OpenBlockWriter, WriteCompleted } from './block-writer.ts';
import { openDirect } from './wal-file.ts';

/** Relative to the compiled file, dist/src/wal. */
const ADDON = '../../native/block-writes.node';
/** Four writes hide the device's latency behind each other; more gained nothing (docs/phases/7.2-write-ahead-log.md). */
const DEPTH = 4;
/** Pairs {tag, result} of one wake-up. */
const RESULT_PAIRS = 64;

type Queue = object;
type Engine = 'io_uring' | 'aio';

/** native/block-writes.c */
interface Addon {
  open(
    engine: Engine,
    fd: number,
    memory: Uint8Array,
    results: Int32Array,
    onCompletions: (count: number) => void,
  ): Queue;
  write(queue: Queue, memoryOffset: number, bytes: number, fileOffset: number, tag: number): number;
  reap(queue: Queue): number;
  close(queue: Queue): void;
}

/** @throws when the addon was not built, or was built for another Node.js */
export function loadBlockWrites(): Addon {
  return createRequire(import.meta.url)(ADDON) as Addon;
}

class KernelWriter implements BlockWriter {
  readonly depth = DEPTH;
  private readonly addon: Addon;
  private readonly queue: Queue;
  private readonly results = new Int32Array(2 * RESULT_PAIRS);
  private readonly completed: WriteCompleted;
  private inFlight = 0;

  constructor(addon: Addon, engine: Engine, fd: number, memory: Uint8Array, completed: WriteCompleted) {
    this.addon = addon;
    this.completed = completed;
    this.queue = addon.open(engine, fd, memory, this.results, (count) => this.complete(count));
  }

  write(offset: number, bytes: number, fileOffset: number, tag: number): number {
    const status = this.addon.write(this.queue, offset, bytes, fileOffset, tag);
    if (status === 0) this.inFlight++;
    return status;
  }

  poll(): void {
    if (this.inFlight > 0) this.complete(this.addon.reap(this.queue));
  }

  private complete(count: number): void {
    const { results } = this;
    this.inFlight -= count;
    for (let i = 0; i < count; i++) this.completed(results[2 * i]!, results[2 * i + 1]!);
  }

  close(): void {
    this.addon.close(this.queue);
  }
}

function openWith(engine: Engine): OpenBlockWriter {
  return (path, memory, completed) => {
    const addon = loadBlockWrites();
    const fd = openDirect(path);
    try {
      return new KernelWriter(addon, engine, fd, memory, completed);
    } finally {
      // The queue holds a descriptor of its own.
      fs.closeSync(fd);
    }
  };
}

export const openUringWriter: OpenBlockWriter = openWith('io_uring');
export const openAioWriter: OpenBlockWriter = openWith('aio');
