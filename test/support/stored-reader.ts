/** Reads a data directory repeatedly and returns each line once, also across restarts of the server. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type StoredLine, segmentPaths } from './stored.ts';

const NEWLINE = 0x0a;

/** The bytes of a file from `start` on. */
function bytesFrom(path: string, start: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(fd).size - start));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, start));
  } finally {
    closeSync(fd);
  }
}

export class StoredReader {
  private readonly dataDir: string;
  /** Bytes read of each segment. */
  private readonly read = new Map<string, number>();

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  /** Segments seen so far. */
  get segments(): number {
    return this.read.size;
  }

  /** Names of the metrics stored since the last call, in order. Call it only while nothing is written. */
  newNames(): string[] {
    const names: string[] = [];
    for (const path of segmentPaths(this.dataDir)) {
      const start = this.read.get(path) ?? 0;
      const bytes = bytesFrom(path, start);
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      this.read.set(path, start + end);
      for (const line of bytes.toString('utf8', 0, end).split('\n')) {
        if (line !== '') names.push((JSON.parse(line) as StoredLine).name);
      }
    }
    return names;
  }
}
