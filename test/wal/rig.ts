/** One lane over real files, its copier, and a back-end that a test can hold, cut short and fail. */
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { FULL } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import type { BlockWriter, OpenBlockWriter, WriteCompleted } from '../../src/wal/block-writer.ts';
import { openBlockingWriter } from '../../src/wal/blocking-writer.ts';
import { loadBlockWrites } from '../../src/wal/kernel-writer.ts';
import { Lane } from '../../src/wal/lane.ts';
import { LaneConsumer } from '../../src/wal/lane-consumer.ts';
import { createLaneMemory } from '../../src/wal/lane-memory.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { readLaneLog } from '../../src/wal/replay.ts';
import { createWalFile, walPath } from '../../src/wal/wal-file.ts';

export const GENERATION = 0x1234_5678_9abc;

export interface LaneRigOptions {
  readonly open?: OpenBlockWriter;
  readonly memoryBytes?: number;
  readonly fileBlocks?: number;
  /** A directory that holds a file already. */
  readonly dataDir?: string;
  readonly generation?: number;
  readonly start?: number;
}

export class LaneRig {
  readonly dataDir: string;
  readonly path: string;
  readonly lane: Lane;
  readonly consumer: LaneConsumer;
  readonly failures: number[] = [];
  private readonly memory: SharedArrayBuffer;

  constructor(options: LaneRigOptions = {}) {
    const { open = openBlockingWriter, memoryBytes = 1 << 20, fileBlocks = 64 } = options;
    const generation = options.generation ?? GENERATION;
    // Not the system's temporary folder: it may be a tmpfs, which has no direct I/O.
    this.dataDir = options.dataDir ?? fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
    this.path = walPath(this.dataDir, 0);
    const fileBytes = fileBlocks * BLOCK_BYTES;
    if (options.dataDir === undefined) {
      createWalFile(nodeFileOps, this.dataDir, fileBytes, {
        lane: 0,
        generation,
        checkpoint: 0,
        start: options.start ?? 0,
      });
    }
    this.memory = createLaneMemory(memoryBytes);
    this.lane = new Lane({
      memory: this.memory,
      lane: 0,
      generation,
      path: this.path,
      fileBytes,
      start: options.start ?? 0,
      open,
      cost: { storedAtMs: 0, fixedMs: 0, bytesPerMs: 0 },
      writing: () => {},
      stored: () => {},
      failed: (errno) => this.failures.push(errno),
      ring: () => {},
      now: () => performance.now(),
    });
    this.consumer = new LaneConsumer(this.memory);
  }

  /** Commits `text` as one line; returns its cursor, or FULL. */
  commit(text: string): number {
    const offset = this.lane.claim(text.length);
    if (offset === FULL) return FULL;
    Buffer.from(this.lane.bytes.buffer, this.lane.bytes.byteOffset).write(text, offset, 'latin1');
    return this.lane.commit(offset + text.length, 1);
  }

  /** Lines that the copier finds, as one text. */
  copyAll(): string {
    let text = '';
    while (this.consumer.next()) {
      const { bytes, runOffset, runBytes } = this.consumer;
      text += Buffer.from(bytes.buffer, bytes.byteOffset + runOffset, runBytes).toString('latin1');
    }
    this.consumer.release();
    return text;
  }

  /** The lines of the records in the file behind `copied`, as they would be replayed. */
  onDisk(copied = 0): string {
    const { records } = readLaneLog(nodeFileOps, this.path);
    const file = fs.readFileSync(this.path);
    return records
      .filter(({ sequence }) => sequence > copied)
      .map(({ offset, bytes }) => file.toString('latin1', offset + 64, offset + 64 + bytes))
      .join('');
  }

  remove(): void {
    this.lane.close();
    fs.rmSync(this.dataDir, { recursive: true });
  }
}

/** A back-end that writes only when the test says so, in the order the test says. */
export class HeldWriter implements BlockWriter {
  readonly depth = 4;
  readonly held: { tag: number; run: (bytes?: number) => void; fail: (errno: number) => void }[] = [];
  private readonly fd: number;
  private readonly memory: Uint8Array;
  private readonly completed: WriteCompleted;

  constructor(path: string, memory: Uint8Array, completed: WriteCompleted) {
    this.fd = fs.openSync(path, 'r+');
    this.memory = memory;
    this.completed = completed;
  }

  write(offset: number, bytes: number, fileOffset: number, tag: number): number {
    this.held.push({
      tag,
      run: (written = bytes) => {
        fs.writeSync(this.fd, this.memory, offset, written, fileOffset);
        this.completed(tag, written);
      },
      fail: (errno) => this.completed(tag, -errno),
    });
    return 0;
  }

  poll(): void {
    // The test completes writes.
  }

  close(): void {
    fs.closeSync(this.fd);
  }
}

/** A rig whose writes wait in `writer.held`. */
export function heldRig(options: LaneRigOptions = {}): { rig: LaneRig; writer: HeldWriter } {
  let writer: HeldWriter | undefined;
  const rig = new LaneRig({
    ...options,
    open: (path, memory, completed) => {
      writer = new HeldWriter(path, memory, completed);
      return writer;
    },
  });
  return { rig, writer: writer! };
}

export const EIO = os.constants.errno.EIO;

/** Why tests of the addon are skipped, or false. Fails where all tools must be there. */
export function addonIsMissing(): string | false {
  try {
    loadBlockWrites();
    return false;
  } catch (error) {
    const reason = `the addon was not built: ${(error as Error).message.split('\n')[0]}`;
    if (process.env.METRICSSTREAM_REQUIRE_TOOLS === '1') throw new Error(reason);
    return reason;
  }
}
