/** Real file operations with faults that a test sets call by call, in its own thread. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';

export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: injected, ${syscall}`), { code, syscall, errno: -1 });
}

type Call = keyof FileOps;

/** `error` is a code to fail with, `atMost` the bytes a write takes; neither: the call passes. */
interface Fault {
  readonly error?: string;
  readonly atMost?: number;
}

export class FaultyFileOps implements FileOps {
  /** Calls so far, in order. */
  readonly calls: Call[] = [];
  /** Asked before each call. */
  fault: (call: Call, nth: number) => Fault | undefined = () => undefined;
  /** What `freeBytes` answers, or null for the truth. */
  free: number | null = null;
  backgroundSyncMs = 0;
  private readonly counts = new Map<Call, number>();

  private enter(call: Call): number {
    const nth = (this.counts.get(call) ?? 0) + 1;
    this.counts.set(call, nth);
    this.calls.push(call);
    const { error, atMost = Number.POSITIVE_INFINITY } = this.fault(call, nth) ?? {};
    if (error !== undefined) throw systemError(error, call);
    return atMost;
  }

  count(call: Call): number {
    return this.counts.get(call) ?? 0;
  }

  open(path: string, flags: number, mode?: number): number {
    this.enter('open');
    return nodeFileOps.open(path, flags, mode);
  }
  close(fd: number): void {
    this.enter('close');
    nodeFileOps.close(fd);
  }
  write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    return nodeFileOps.write(fd, buffer, offset, Math.min(length, this.enter('write')), position);
  }
  writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const atMost = this.enter('writev');
    if (atMost === Number.POSITIVE_INFINITY) return nodeFileOps.writev(fd, buffers, position);
    const bytes = Buffer.concat(buffers.map((part) => Buffer.from(part)));
    return nodeFileOps.write(fd, bytes, 0, Math.min(bytes.length, atMost), position);
  }
  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    this.enter('read');
    return nodeFileOps.read(fd, buffer, offset, length, position);
  }
  fdatasync(fd: number): void {
    this.enter('fdatasync');
    nodeFileOps.fdatasync(fd);
  }
  fdatasyncInBackground(fd: number, done: (error: Error | null) => void): void {
    const finish = async (): Promise<void> => {
      await sleep(this.backgroundSyncMs);
      try {
        this.enter('fdatasyncInBackground');
        nodeFileOps.fdatasync(fd);
        done(null);
      } catch (error) {
        done(error as Error);
      }
    };
    void finish();
  }
  fsync(fd: number): void {
    this.enter('fsync');
    nodeFileOps.fsync(fd);
  }
  truncate(fd: number, bytes: number): void {
    this.enter('truncate');
    nodeFileOps.truncate(fd, bytes);
  }
  rename(from: string, to: string): void {
    this.enter('rename');
    nodeFileOps.rename(from, to);
  }
  unlink(path: string): void {
    this.enter('unlink');
    nodeFileOps.unlink(path);
  }
  exists(path: string): boolean {
    return nodeFileOps.exists(path);
  }
  readdir(path: string): string[] {
    return nodeFileOps.readdir(path);
  }
  stat(path: string): { readonly size: number; readonly mtimeMs: number } {
    return nodeFileOps.stat(path);
  }
  freeBytes(path: string): number {
    return this.free ?? nodeFileOps.freeBytes(path);
  }
}
