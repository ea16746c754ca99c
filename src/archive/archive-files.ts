/** Names and durability of the files in `DATA_DIR/archive`. */
import fs from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { makeDirectory } from '../base/directories.ts';
import { ARCHIVE_DIRECTORY, hexOf } from './manifest.ts';

const PARTITION = /^date=(\d{4}-\d{2}-\d{2}|other)$/;
const FILE_NAME = /^(\d{1,16})-(\d{1,16})\.parquet$/;
/** Ends the names of files that are being written. */
const UNFINISHED = '.new';
const CHUNK_BYTES = 1 << 20;
const SPILL_DIRECTORY = '.spill';

/** A file named like one of the archive, whether the manifest lists it or not. */
export interface FoundFile {
  /** Relative to the archive. */
  readonly path: string;
  readonly date: string;
  readonly first: number;
  readonly last: number;
}

export function archivePath(date: string, first: number, last: number): string {
  return `date=${date}/${first}-${last}.parquet`;
}

/** The partition of a file, such as `2026-11-28`. */
export function dateOfPath(path: string): string {
  return path.slice('date='.length, path.indexOf('/'));
}

export class ArchiveFiles {
  readonly directory: string;

  constructor(dataDir: string) {
    this.directory = join(dataDir, ARCHIVE_DIRECTORY);
  }

  /** For DuckDB's sorts that do not fit into memory. */
  get spillDirectory(): string {
    return join(this.directory, SPILL_DIRECTORY);
  }

  absolute(path: string): string {
    return join(this.directory, path);
  }

  /** Where a file is written before it gets its name. */
  unfinished(path: string): string {
    const at = path.indexOf('/') + 1;
    return join(this.directory, `${path.slice(0, at)}.${path.slice(at)}${UNFINISHED}`);
  }

  /** Creates the archive, durably; not the data directory: a server would go on in one that appears where its own was. */
  create(): void {
    makeDirectory(this.directory, 0o750);
    syncDirectory(join(this.directory, '..'));
  }

  /** Creates the partition of a file, durably. */
  createPartition(path: string): void {
    const partition = join(this.absolute(path), '..');
    if (fs.existsSync(partition)) return;
    makeDirectory(partition, 0o750);
    syncDirectory(this.directory);
  }

  /** Gives a finished file its name, durably. */
  publish(path: string): void {
    const unfinished = this.unfinished(path);
    const fd = fs.openSync(unfinished, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(unfinished, this.absolute(path));
    syncDirectory(join(this.absolute(path), '..'));
  }

  /** All files with names of the archive's form. Deletes the unfinished files of a killed run. */
  find(): FoundFile[] {
    fs.rmSync(this.spillDirectory, { recursive: true, force: true });
    const found: FoundFile[] = [];
    for (const partition of fs.readdirSync(this.directory)) {
      const [, date] = PARTITION.exec(partition) ?? [];
      if (date === undefined) continue;
      for (const name of fs.readdirSync(join(this.directory, partition))) {
        const path = `${partition}/${name}`;
        if (name.endsWith(UNFINISHED)) this.delete(path);
        const [, first, last] = FILE_NAME.exec(name) ?? [];
        if (first !== undefined) found.push({ path, date, first: Number(first), last: Number(last) });
      }
    }
    return found;
  }

  /** Deletes a file, and its partition with the last one. A file may be gone already. */
  delete(path: string): void {
    fs.rmSync(this.absolute(path), { force: true });
    try {
      fs.rmdirSync(join(this.absolute(path), '..'));
    } catch {
      // It holds other files.
    }
  }

  deleteUnfinished(path: string): void {
    fs.rmSync(this.unfinished(path), { force: true });
  }
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Size of a file, and CRC-32 of its bytes as eight hexadecimal digits. Throws the file system's error. */
export function checksumOf(path: string): { readonly bytes: number; readonly crc32: string } {
  const fd = fs.openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let crc = 0;
    let bytes = 0;
    for (let read = fs.readSync(fd, chunk); read > 0; read = fs.readSync(fd, chunk)) {
      crc = zlib.crc32(chunk.subarray(0, read), crc);
      bytes += read;
    }
    return { bytes, crc32: hexOf(crc) };
  } finally {
    fs.closeSync(fd);
  }
}
