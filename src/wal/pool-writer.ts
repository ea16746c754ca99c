/** Block writes on libuv's thread pool: the same layout without an addon. Each write goes to another thread. */
import fs from 'node:fs';
import type { BlockWriter, WriteCompleted } from './block-writer.ts';
import { openDirect } from './wal-file.ts';

/** More would hold threads of the pool that inflate bodies and sync segments. */
const DEPTH = 1;

class PoolWriter implements BlockWriter {
  readonly depth = DEPTH;
  private readonly fd: number;
  private readonly memory: Uint8Array;
  private readonly completed: WriteCompleted;
  private inFlight = 0;
  private closing = false;

  constructor(fd: number, memory: Uint8Array, completed: WriteCompleted) {
    this.fd = fd;
    this.memory = memory;
    this.completed = completed;
  }

  write(offset: number, bytes: number, fileOffset: number, tag: number): number {
    this.inFlight++;
    fs.write(this.fd, this.memory, offset, bytes, fileOffset, (error, written) => {
      this.inFlight--;
      if (this.closing) this.closeWhenIdle();
      else this.completed(tag, error === null ? written : (error.errno ?? -1));
    });
    return 0;
  }

  poll(): void {
    // The pool's completions come through the event loop only.
  }

  close(): void {
    this.closing = true;
    this.closeWhenIdle();
  }

  private closeWhenIdle(): void {
    if (this.inFlight === 0) fs.closeSync(this.fd);
  }
}

export function openPoolWriter(path: string, memory: Uint8Array, completed: WriteCompleted): BlockWriter {
  return new PoolWriter(openDirect(path), memory, completed);
}
