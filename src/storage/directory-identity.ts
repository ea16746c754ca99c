/**
 * Which directory this process owns, shared by all threads: main publishes it when it holds the directory's lock.
 *
 * ```
 *  line 0  DEVICE  Float64  device of the directory           written by main
 *          INODE   Float64  its inode on that device          written by main
 * ```
 * A path may lead to another directory after a rename, a mount or `rm -r` and `mkdir`. The writer creates files only
 * while the path leads to the directory published here. A reader that sees one word old and one new finds no match and
 * reads again a moment later.
 */
import { LINE_BYTES } from '../base/shared-memory.ts';
import { codeOf, type FileOps } from './file-ops.ts';

const DEVICE = 0;
const INODE = 1;

export interface FileId {
  readonly dev: number;
  readonly ino: number;
}

export function sameFile(a: FileId, b: FileId): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

export class DirectoryIdentity {
  private readonly words: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Float64Array(memory);
  }

  get(): FileId {
    return { dev: this.words[DEVICE]!, ino: this.words[INODE]! };
  }

  publish({ dev, ino }: FileId): void {
    this.words[DEVICE] = dev;
    this.words[INODE] = ino;
  }
}

/** The identity of the directory at `path`. */
export function createDirectoryIdentity(ops: FileOps, path: string): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(LINE_BYTES);
  new DirectoryIdentity(memory).publish(ops.stat(path));
  return memory;
}

/** How `path` fails to lead to the directory `expected`, or null. */
export function directoryChange(ops: FileOps, path: string, expected: FileId): string | null {
  try {
    return sameFile(ops.stat(path), expected) ? null : 'another directory has taken its place';
  } catch (error) {
    const code = codeOf(error);
    return code === 'ENOENT' ? 'it was removed or renamed' : `it cannot be read: ${code}`;
  }
}
