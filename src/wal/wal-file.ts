/**
 * The files of the write-ahead log, `DATA_DIR/.wal-<lane>.bin`: written whole once, then overwritten round robin.
 *
 * ```
 *  block 0     header       magic FF 'W' 'A' 'F', version, lane, generation, checkpoint, start, crc32
 *              its copy     the same from byte 2048 on: one damaged sector loses no record
 *  block 1..   records      see record.ts; a record never spans the end of the file
 * ```
 * The blocks are *written* when the file is created. A file whose blocks are merely allocated (fallocate) changes its
 * extents with each first write, so each sync would commit the file system's journal as well.
 */
import fs, { constants } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from '../base/crc32.ts';
import { type FileOps, isFileError, withFile } from '../storage/file-ops.ts';
import { BLOCK_BYTES, type Generation } from './record.ts';

const HEADER_MAGIC = 0x4641_57ff;
const VERSION = 1;
const HEADER_CRC_OFFSET = 60;
const HEADER_BYTES = 64;
const COPY_OFFSET = BLOCK_BYTES / 2;
const TWO_32 = 2 ** 32;
const FILL_BYTES = 1 << 20;
const NAME = /^\.wal-(\d{1,4})\.bin$/;
/** Files that were being created. */
const UNFINISHED_NAME = /^\.wal-\d{1,4}\.bin\.new$/;

export interface WalHeader {
  readonly lane: number;
  readonly generation: Generation;
  /** Sequence of the last record whose segment is known to be synced. */
  readonly checkpoint: number;
  /** Where the generation's first record goes: bytes behind block 0. */
  readonly start: number;
}

export function walPath(dataDir: string, lane: number): string {
  return join(dataDir, `.wal-${lane}.bin`);
}

/** The lanes that have a file in the directory, ascending. */
export function listWalFiles(ops: FileOps, dataDir: string): number[] {
  return ops
    .readdir(dataDir)
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Opens for direct, data-synchronous writes of whole blocks. */
export function openDirect(path: string): number {
  return fs.openSync(path, constants.O_WRONLY | constants.O_DIRECT | constants.O_DSYNC);
}

function encodeHeader({ lane, generation, checkpoint, start }: WalHeader): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.writeUInt32LE(HEADER_MAGIC, 0);
  block.writeUInt32LE(VERSION, 4);
  block.writeUInt32LE(lane, 8);
  block.writeUInt32LE(generation % TWO_32, 16);
  block.writeUInt32LE(Math.floor(generation / TWO_32), 20);
  block.writeUInt32LE(checkpoint % TWO_32, 24);
  block.writeUInt32LE(Math.floor(checkpoint / TWO_32), 28);
  block.writeUInt32LE(start % TWO_32, 32);
  block.writeUInt32LE(Math.floor(start / TWO_32), 36);
  block.writeUInt32LE(crc32(block.subarray(0, HEADER_CRC_OFFSET)), HEADER_CRC_OFFSET);
  block.copy(block, COPY_OFFSET, 0, HEADER_BYTES);
  return block;
}

/** The header or its copy, or null when the CRC of neither matches. */
export function decodeHeader(block: Buffer): WalHeader | null {
  if (block.length < BLOCK_BYTES) return null;
  return decodeCopy(block.subarray(0, HEADER_BYTES)) ?? decodeCopy(block.subarray(COPY_OFFSET));
}

function decodeCopy(block: Buffer): WalHeader | null {
  if (block.readUInt32LE(0) !== HEADER_MAGIC || block.readUInt32LE(4) !== VERSION) return null;
  if (crc32(block.subarray(0, HEADER_CRC_OFFSET)) !== block.readUInt32LE(HEADER_CRC_OFFSET)) return null;
  return {
    lane: block.readUInt32LE(8),
    generation: block.readUInt32LE(16) + block.readUInt32LE(20) * TWO_32,
    checkpoint: block.readUInt32LE(24) + block.readUInt32LE(28) * TWO_32,
    start: block.readUInt32LE(32) + block.readUInt32LE(36) * TWO_32,
  };
}

/**
 * Makes the lane's file: every block written, file and name durable. Replaces one that exists.
 * @param fileBytes a multiple of BLOCK_BYTES
 * @throws the file system's error; it leaves no part of a new file, which would keep a full disk full
 */
export function createWalFile(ops: FileOps, dataDir: string, fileBytes: number, header: WalHeader): void {
  const path = walPath(dataDir, header.lane);
  const temporary = `${path}.new`;
  if (ops.exists(temporary)) ops.unlink(temporary);
  try {
    writeWhole(ops, temporary, fileBytes, header);
    ops.rename(temporary, path);
  } catch (error) {
    unlinkQuietly(ops, temporary);
    throw error;
  }
  syncDirectory(ops, dataDir);
}

function writeWhole(ops: FileOps, path: string, fileBytes: number, header: WalHeader): void {
  const fd = ops.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
  try {
    const zeros = Buffer.alloc(FILL_BYTES);
    for (let at = 0; at < fileBytes; )
      at += ops.write(fd, zeros, 0, Math.min(FILL_BYTES, fileBytes - at), at);
    ops.write(fd, encodeHeader(header), 0, BLOCK_BYTES, 0);
    ops.fsync(fd);
  } finally {
    ops.close(fd);
  }
}

/** Removes what a process left that was killed while it created a file. */
export function removeUnfinishedWal(ops: FileOps, dataDir: string): void {
  for (const name of ops.readdir(dataDir)) {
    if (UNFINISHED_NAME.test(name)) unlinkQuietly(ops, join(dataDir, name));
  }
}

/** A file that stays costs space only. */
function unlinkQuietly(ops: FileOps, path: string): void {
  try {
    ops.unlink(path);
  } catch (error) {
    if (!isFileError(error)) throw error;
  }
}

export function syncDirectory(ops: FileOps, path: string): void {
  const fd = ops.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    ops.fsync(fd);
  } finally {
    ops.close(fd);
  }
}

/** Writes the header of a file that exists; durable when `sync` says so. */
export function writeHeader(ops: FileOps, path: string, header: WalHeader, sync: boolean): void {
  withFile(ops, path, constants.O_RDWR, (fd) => {
    ops.write(fd, encodeHeader(header), 0, BLOCK_BYTES, 0);
    if (sync) ops.fdatasync(fd);
  });
}

/** @throws the system's error when the file cannot be read, or an Error when block 0 is not a header */
export function readHeader(ops: FileOps, path: string): WalHeader {
  const block = Buffer.alloc(BLOCK_BYTES);
  const fd = ops.open(path, constants.O_RDONLY);
  try {
    ops.read(fd, block, 0, BLOCK_BYTES, 0);
  } finally {
    ops.close(fd);
  }
  const header = decodeHeader(block);
  if (header === null) throw new Error(`${path} does not start with the header of a write-ahead file`);
  return header;
}
