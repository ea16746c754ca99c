/**
 * One segment file: append whole commits, cut failed ones back, sync.
 *
 * A commit goes to the file in one of two ways:
 *
 * - *Small*: one `writev` of the pieces, straight from shared memory into the page cache.
 * - *Large*: copied into a page-aligned staging buffer at the same offset within a page that the bytes have in the
 *   file, so that whole pages of the file are whole pages of the buffer. Those bypass the page cache through a second
 *   descriptor with O_DIRECT. The bytes before the first page boundary and after the last go through the page cache.
 *
 * ```
 *  file    … │ page k: earlier bytes │ HEAD ││ page k+1 … page m-1 ││ TAIL │ (end of file)
 *  written                  buffered │      ││ O_DIRECT            ││ buffered
 * ```
 * The file has no padding and grows only by commits, so any reader can follow it. The kernel keeps both ways coherent:
 * a direct write first flushes and then drops the cached pages of its own range, which never includes head or tail.
 */
import { constants } from 'node:fs';
import { MetricsStreamError } from '../base/errors.ts';
import { WRITER } from '../telemetry/counters.ts';
import type { CommitBuffer } from './commit-buffer.ts';
import { codeOf, type FileOps, PAGE_BYTES } from './file-ops.ts';

declare const WebAssembly: { Memory: new (pages: { initial: number }) => { readonly buffer: ArrayBuffer } };
const WASM_PAGE_BYTES = 65_536;

/** Memory that starts on a page boundary. Only WebAssembly provides it: it maps its memories. */
export function pageAlignedBytes(atLeast: number): Buffer {
  return Buffer.from(new WebAssembly.Memory({ initial: Math.ceil(atLeast / WASM_PAGE_BYTES) }).buffer);
}

/** True for errors of one file, after which another file may accept bytes: it became immutable, or too large. */
export function isUnwritable(error: unknown): boolean {
  return ['EPERM', 'EFBIG', 'ESTALE'].includes(codeOf(error));
}

/** Shared by the segments of one thread. */
export interface AppendContext {
  readonly ops: FileOps;
  readonly staging: Buffer;
  /** Commits of at least this size go past the page cache; 0 turns that off. */
  directBytes: number;
  readonly counters: Float64Array;
  /** Called once when the file system refuses direct I/O. */
  directRefused(error: unknown): void;
}

/** A failed append could not be undone: the file holds bytes that were refused. */
export class UndoFailed extends MetricsStreamError {
  constructor(path: string, cause: unknown) {
    super('WRITER_FAILED', `cannot cut ${path} back after a failed write`, { cause });
  }
}

/** A file that is or will be a segment. */
export interface OpenFile {
  readonly path: string;
  readonly fd: number;
}

export function openNew(ops: FileOps, path: string): OpenFile {
  return { path, fd: ops.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL) };
}

export class Segment {
  readonly sequence: number;
  readonly path: string;
  readonly openedMs: number;
  /** Length of the file: the end of its last whole commit. */
  bytes = 0;
  private readonly context: AppendContext;
  readonly fd: number;
  /** A second descriptor with O_DIRECT, or -1. */
  private directFd = -1;

  constructor(context: AppendContext, sequence: number, file: OpenFile, nowMs: number) {
    this.context = context;
    this.sequence = sequence;
    this.path = file.path;
    this.fd = file.fd;
    this.openedMs = nowMs;
    this.openDirect();
  }

  /** Opens the second descriptor if it is wanted and missing, and works without it if that fails. */
  openDirect(): void {
    const { ops, directBytes } = this.context;
    if (directBytes === 0 || this.directFd >= 0) return;
    try {
      this.directFd = ops.open(this.path, constants.O_WRONLY | constants.O_DIRECT);
    } catch {
      // No descriptor is free, or the file system has no direct I/O: the page cache works too, at more CPU.
    }
  }

  /**
   * Appends a sealed commit whole. When the write fails, restores the file and throws the error.
   * @throws UndoFailed when the file could not be cut back
   */
  append(commit: CommitBuffer): void {
    const { directBytes } = this.context;
    try {
      if (directBytes > 0 && commit.bytes >= directBytes) this.writeStaged(commit.pieces);
      else this.writeBuffered(commit.pieces, commit.bytes);
    } catch (error) {
      this.cutBack();
      throw error;
    }
    this.bytes += commit.bytes;
  }

  private cutBack(): void {
    const { ops } = this.context;
    try {
      // A file that accepts no bytes, such as an immutable one, cannot be cut either.
      if (ops.fstat(this.fd).size > this.bytes) ops.truncate(this.fd, this.bytes);
    } catch (error) {
      throw new UndoFailed(this.path, error);
    }
  }

  private writeBuffered(pieces: readonly Uint8Array[], bytes: number): void {
    const { ops, counters } = this.context;
    let written = ops.writev(this.fd, pieces, this.bytes);
    while (written < bytes) {
      counters[WRITER.short_writes]! += 1;
      const more = ops.writev(this.fd, skipBytes(pieces, written), this.bytes + written);
      if (more === 0) throw new MetricsStreamError('WRITER_FAILED', 'the file accepts no more bytes');
      written += more;
    }
  }

  private writeStaged(pieces: readonly Uint8Array[]): void {
    const { staging } = this.context;
    let position = this.bytes;
    // Offset of the bytes within their page, the same in the file and in the buffer.
    let start = position % PAGE_BYTES;
    let end = start;
    for (const piece of pieces) {
      for (let copied = 0; copied < piece.length; ) {
        const part = Math.min(piece.length - copied, staging.length - end);
        // One memcpy. `set` from shared memory copies by words: ten times slower where the alignments differ.
        staging.fill(piece.subarray(copied, copied + part), end, end + part);
        copied += part;
        end += part;
        if (end < staging.length) continue;
        this.writeSlice(start, end, position);
        position += end - start;
        start = end = 0;
      }
    }
    if (end > start) this.writeSlice(start, end, position);
  }

  /** Writes `staging[start, end)` at `position`; both have the same offset within a page. */
  private writeSlice(start: number, end: number, position: number): void {
    const firstPage = Math.min(end, Math.ceil(start / PAGE_BYTES) * PAGE_BYTES);
    const lastPage = Math.max(firstPage, Math.floor(end / PAGE_BYTES) * PAGE_BYTES);
    this.writePlain(start, firstPage, position);
    const direct =
      lastPage > firstPage ? this.writeDirect(firstPage, lastPage, position + firstPage - start) : 0;
    this.writePlain(firstPage + direct, end, position + firstPage + direct - start);
  }

  private writePlain(start: number, end: number, position: number): void {
    const { ops, staging, counters } = this.context;
    for (let at = start; at < end; ) {
      const written = ops.write(this.fd, staging, at, end - at, position + at - start);
      if (written === 0) throw new MetricsStreamError('WRITER_FAILED', 'the file accepts no more bytes');
      at += written;
      if (at < end) counters[WRITER.short_writes]! += 1;
    }
  }

  /** Returns how many bytes bypassed the page cache; the caller writes the rest through it. */
  private writeDirect(start: number, end: number, position: number): number {
    const { ops, staging, counters } = this.context;
    if (this.directFd < 0) return 0;
    try {
      const written = ops.write(this.directFd, staging, start, end - start, position);
      counters[WRITER.direct_writes]! += 1;
      if (written < end - start) counters[WRITER.short_writes]! += 1;
      return written;
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error;
      // The file system accepts O_DIRECT at open but not for writes, or needs a larger alignment.
      this.context.directBytes = 0;
      this.context.directRefused(error);
      return 0;
    }
  }

  /** Makes every byte so far durable. */
  sync(): void {
    this.context.ops.fdatasync(this.fd);
  }

  close(): void {
    const { ops } = this.context;
    ops.close(this.fd);
    if (this.directFd >= 0) ops.close(this.directFd);
  }
}

/** The pieces without their first `bytes`; for the rare short write. */
function skipBytes(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = bytes;
  for (const piece of pieces) {
    if (skip < piece.length) rest.push(piece.subarray(skip));
    skip = Math.max(0, skip - piece.length);
  }
  return rest;
}
