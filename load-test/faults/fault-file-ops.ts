/** Real file operations with faults in front: a hook decides before each call whether it fails, stores less or waits. */
import { existsSync } from 'node:fs';
import { type FileOps, type FileStatus, nodeFileOps } from '../../src/storage/file-ops.ts';

/** The real operations, also where the preload replaces those of the process. */
const real: FileOps = { ...nodeFileOps };
const EIO = 5;
/** How often a call that hangs looks whether it may continue. */
const HANG_CHECK_MS = 10;

export type Call = keyof FileOps;

/** Without any field the call passes. */
export interface Fault {
  /** Code of the system error to throw. */
  readonly error?: string;
  /** Most bytes that a write stores. */
  readonly atMost?: number;
  readonly delayMs?: number;
  /** The call waits until this file is gone. */
  readonly hangsWhile?: string;
}

export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: injected, ${syscall}`), { code, syscall, errno: -EIO });
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export class FaultFileOps implements FileOps {
  /** Calls so far, in order. */
  readonly calls: Call[] = [];
  /** Called before each call. `nth` counts calls of that name from 1; `bytes` is how much a write wants to store. */
  fault: (call: Call, nth: number, bytes: number) => Fault | undefined = () => undefined;
  /** Replaces the result of `freeBytes` unless it is null. */
  free: number | null = null;
  /** False keeps no list of calls: a server makes millions. */
  recordsCalls = true;
  private readonly counts = new Map<Call, number>();

  count(call: Call): number {
    return this.counts.get(call) ?? 0;
  }

  private decide(call: Call, bytes = 0): Fault {
    const nth = this.count(call) + 1;
    this.counts.set(call, nth);
    if (this.recordsCalls) this.calls.push(call);
    return this.fault(call, nth, bytes) ?? {};
  }

  /** Waits, throws, or returns how many bytes the call may store. */
  private enter(call: Call, bytes = 0): number {
    const { error, atMost = Number.POSITIVE_INFINITY, delayMs = 0, hangsWhile } = this.decide(call, bytes);
    if (delayMs > 0) sleep(delayMs);
    while (hangsWhile !== undefined && existsSync(hangsWhile)) sleep(HANG_CHECK_MS);
    if (error !== undefined) throw systemError(error, call);
    return atMost;
  }

  open(path: string, flags: number, mode?: number): number {
    this.enter('open');
    return real.open(path, flags, mode);
  }
  close(fd: number): void {
    this.enter('close');
    real.close(fd);
  }
  write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    return real.write(fd, buffer, offset, Math.min(length, this.enter('write', length)), position);
  }
  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
    const atMost = this.enter('writev', bytes);
    if (atMost >= bytes) return real.writev(fd, buffers, position);
    const joined = Buffer.concat(buffers.map((part) => Buffer.from(part)));
    return real.write(fd, joined, 0, atMost, position);
  }
  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    this.enter('read');
    return real.read(fd, buffer, offset, length, position);
  }
  fdatasync(fd: number): void {
    this.enter('fdatasync');
    real.fdatasync(fd);
  }
  fdatasyncInBackground(fd: number, done: (error: Error | null) => void): void {
    const { error, delayMs = 0, hangsWhile } = this.decide('fdatasyncInBackground');
    const proceed = () => {
      if (hangsWhile !== undefined && existsSync(hangsWhile)) setTimeout(proceed, HANG_CHECK_MS);
      else if (error === undefined) real.fdatasyncInBackground(fd, done);
      else done(systemError(error, 'fdatasync'));
    };
    setTimeout(proceed, delayMs);
  }
  fsync(fd: number): void {
    this.enter('fsync');
    real.fsync(fd);
  }
  truncate(fd: number, bytes: number): void {
    this.enter('truncate');
    real.truncate(fd, bytes);
  }
  rename(from: string, to: string): void {
    this.enter('rename');
    real.rename(from, to);
  }
  unlink(path: string): void {
    this.enter('unlink');
    real.unlink(path);
  }
  exists(path: string): boolean {
    return real.exists(path);
  }
  readdir(path: string): string[] {
    return real.readdir(path);
  }
  stat(path: string): FileStatus {
    return real.stat(path);
  }
  fstat(fd: number): FileStatus {
    this.enter('fstat');
    return real.fstat(fd);
  }
  copyFile(from: string, to: string): void {
    this.enter('copyFile');
    real.copyFile(from, to);
  }
  replaceFile(path: string, text: string): void {
    this.enter('replaceFile');
    real.replaceFile(path, text);
  }
  freeBytes(path: string): number {
    return this.free ?? real.freeBytes(path);
  }
}
