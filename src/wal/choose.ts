/**
 * Which back-end the write-ahead log has on this machine, tried out on a file in the data directory itself: containers
 * often forbid io_uring, and tmpfs has no direct I/O.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from '../base/directories.ts';
import { LANES_MAX } from '../breaker/breaker.ts';
import type { Config } from '../config/load.ts';
import type { Backend, OpenBlockWriter } from './block-writer.ts';
import { openBlockingWriter } from './blocking-writer.ts';
import { openAioWriter, openUringWriter } from './kernel-writer.ts';
import { createLaneMemory, DATA_OFFSET } from './lane-memory.ts';
import { BLOCK_BYTES } from './record.ts';

export interface WalChoice {
  readonly backend: Backend | 'off';
  /** Why it is not the best one; '' when it is. */
  readonly reason: string;
}

export interface WalFacts {
  readonly option: Config['wal'];
  readonly dataDir: string;
  readonly ack: Config['ack'];
  readonly lanes: number;
  /** Serving threads wait for storage and turn no event loop. */
  readonly threadsBlock: boolean;
  readonly journalBytes: number;
  /** Size of each lane's file. */
  readonly walBytes: number;
}

/** For people: the back-end, and why it is not the best one. */
export function walText({ backend, reason }: WalChoice): string {
  return reason === '' ? backend : `${backend} (${reason})`;
}

const off = (reason: string): WalChoice => ({ backend: 'off', reason });

export function chooseBackend(facts: WalFacts): WalChoice {
  const { option, dataDir, ack, lanes, threadsBlock, journalBytes, walBytes } = facts;
  if (option === 'off') return off('--wal off');
  if (ack !== 'synced') return off(`--ack ${ack} waits for no sync`);
  if (lanes > LANES_MAX) return off(`${lanes} threads serve requests; at most ${LANES_MAX} can have a file`);
  if (walBytes < journalBytes) return off(`--wal-bytes is less than --journal-bytes (${journalBytes})`);
  makeDirectory(dataDir);
  let memory: Uint8Array;
  try {
    memory = new Uint8Array(createLaneMemory(BLOCK_BYTES), DATA_OFFSET, BLOCK_BYTES);
  } catch {
    return off('no address space for page-aligned memory (ulimit -v)');
  }
  const direct = tryWriter(dataDir, memory, openBlockingWriter);
  if (direct !== null) return off(`no direct I/O in ${dataDir}: ${direct}`);
  if (threadsBlock) return { backend: 'blocking', reason: 'threads wait for storage' };
  if (option === 'pool') return { backend: 'pool', reason: '--wal pool' };
  const uring = option === 'aio' ? '--wal aio' : tryWriter(dataDir, memory, openUringWriter);
  if (uring === null) return { backend: 'io_uring', reason: '' };
  const reason = option === 'aio' ? uring : `no io_uring: ${uring}`;
  const aio = tryWriter(dataDir, memory, openAioWriter);
  if (aio === null) return { backend: 'aio', reason };
  return { backend: 'pool', reason: aio === uring ? reason : `${reason}; no aio: ${aio}` };
}

/** Where that fails, the start reports it when it acquires the directory. */
function makeDirectory(dataDir: string): void {
  try {
    makeDirectories(dataDir, 0o750);
  } catch {
    // The probe fails too.
  }
}

/** Writes one block. Returns null, or why that failed. */
function tryWriter(dataDir: string, memory: Uint8Array, open: OpenBlockWriter): string | null {
  const path = join(dataDir, `.wal-probe-${process.pid}`);
  let result: number | null = null;
  try {
    fs.writeFileSync(path, Buffer.alloc(BLOCK_BYTES));
    const writer = open(path, memory, (_, bytes) => {
      result = bytes;
    });
    try {
      const status = writer.write(0, BLOCK_BYTES, 0, 0);
      if (status < 0) return `errno ${-status}`;
      while (result === null) writer.poll();
    } finally {
      writer.close();
    }
    return result === BLOCK_BYTES ? null : `a write returned ${result}`;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code ?? message.split('\n')[0]!;
  } finally {
    removeProbe(path);
  }
}

/** The start names the data directory that cannot be used; this file would hide the reason. */
function removeProbe(path: string): void {
  try {
    fs.rmSync(path, { force: true });
  } catch {
    // It was never created.
  }
}
