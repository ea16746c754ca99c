/** Block writes through io_uring: submitted from the event loop, completed through it, without a thread in between. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import type { BlockWriter, WriteCompleted } from './block-writer.ts';
import { openDirect } from './wal-file.ts';

/** Relative to the compiled file, dist/src/wal. */
const ADDON = '../../native/uring.node';
/** Four writes hide the device's latency behind each other; more gained nothing (docs/phases/7.2-write-ahead-log.md). */
const DEPTH = 4;
/** Pairs {tag, result} of one wake-up. */
const RESULT_PAIRS = 64;

type Ring = object;

/** native/uring.c */
interface Addon {
  open(fd: number, memory: Uint8Array, results: Int32Array, onCompletions: (count: number) => void): Ring;
  write(ring: Ring, memoryOffset: number, bytes: number, fileOffset: number, tag: number): number;
  reap(ring: Ring): number;
  close(ring: Ring): void;
}

/** @throws when the addon was not built, or was built for another Node.js */
export function loadUring(): Addon {
  return createRequire(import.meta.url)(ADDON) as Addon;
}

class UringWriter implements BlockWriter {
  readonly depth = DEPTH;
  private readonly addon: Addon;
  private readonly ring: Ring;
  private readonly results = new Int32Array(2 * RESULT_PAIRS);
  private readonly completed: WriteCompleted;
  private inFlight = 0;

  constructor(addon: Addon, fd: number, memory: Uint8Array, completed: WriteCompleted) {
    this.addon = addon;
    this.completed = completed;
    this.ring = addon.open(fd, memory, this.results, (count) => this.complete(count));
  }

  write(offset: number, bytes: number, fileOffset: number, tag: number): number {
    const status = this.addon.write(this.ring, offset, bytes, fileOffset, tag);
    if (status === 0) this.inFlight++;
    return status;
  }

  poll(): void {
    if (this.inFlight > 0) this.complete(this.addon.reap(this.ring));
  }

  private complete(count: number): void {
    const { results } = this;
    this.inFlight -= count;
    for (let i = 0; i < count; i++) this.completed(results[2 * i]!, results[2 * i + 1]!);
  }

  close(): void {
    this.addon.close(this.ring);
  }
}

export function openUringWriter(path: string, memory: Uint8Array, completed: WriteCompleted): BlockWriter {
  const addon = loadUring();
  const fd = openDirect(path);
  try {
    return new UringWriter(addon, fd, memory, completed);
  } finally {
    // The ring holds a descriptor of its own.
    fs.closeSync(fd);
  }
}
