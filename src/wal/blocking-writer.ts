/** Block writes in the calling thread: for dispatchers whose threads wait for storage and turn no event loop. */
import fs from 'node:fs';
import type { BlockWriter, WriteCompleted } from './block-writer.ts';
import { openDirect } from './wal-file.ts';

class BlockingWriter implements BlockWriter {
  readonly depth = 1;
  private readonly fd: number;
  private readonly memory: Uint8Array;
  private readonly completed: WriteCompleted;

  constructor(fd: number, memory: Uint8Array, completed: WriteCompleted) {
    this.fd = fd;
    this.memory = memory;
    this.completed = completed;
  }

  write(offset: number, bytes: number, fileOffset: number, tag: number): number {
    let result: number;
    try {
      result = fs.writeSync(this.fd, this.memory, offset, bytes, fileOffset);
    } catch (error) {
      result = (error as NodeJS.ErrnoException).errno ?? -1;
    }
    this.completed(tag, result);
    return 0;
  }

  poll(): void {
    // Every write has completed before `write` returned.
  }

  close(): void {
    fs.closeSync(this.fd);
  }
}

export function openBlockingWriter(path: string, memory: Uint8Array, completed: WriteCompleted): BlockWriter {
  return new BlockingWriter(openDirect(path), memory, completed);
}
