/** A writer in the test's own thread, turned by hand: real memory, real files, and whatever `FileOps` the test gives. */
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { Bell, createBell } from '../../src/base/bell.ts';
import { Control, createControlBlock } from '../../src/base/control.ts';
import { Breaker, type BreakerConfig, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { FULL, type Journal } from '../../src/journal/journal.ts';
import { JournalProducer } from '../../src/journal/ring.ts';
import { createDirectoryIdentity, DirectoryIdentity } from '../../src/storage/directory-identity.ts';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';
import { recover } from '../../src/storage/recovery.ts';
import { createCounterBlock, WRITER, WRITER_SLOTS, type WriterSlot } from '../../src/telemetry/counters.ts';
import { createHistogramBlock, Histograms, WRITER_HISTOGRAM_NAMES } from '../../src/telemetry/histogram.ts';
import { createThreadStats } from '../../src/telemetry/thread-stats.ts';
import {
  createMemory as createGroupCommitMemory,
  createWriter as createGroupCommitWriter,
} from '../../src/writer/group-commit/group-commit.ts';
import { MaintenanceWriter } from '../../src/writer/synchronous/maintenance.ts';
import {
  createMemory as createSynchronousMemory,
  SynchronousJournal,
} from '../../src/writer/synchronous/synchronous.ts';
import type {
  RunningWriter,
  WriterConfig,
  WriterMemory,
  WriterMessage,
  WriterParts,
  WriterThreadData,
} from '../../src/writer/writer.ts';

/** Longer than a disk stalls. */
const EVENT_TIMEOUT_MS = 180_000;

export function temporaryDirectory(): string {
  return fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-test-'));
}

const WRITER_DEFAULTS: Omit<WriterConfig, 'dataDir'> = {
  ack: 'synced',
  segmentBytes: 64 << 20,
  segmentAgeMs: 3_600_000,
  syncIntervalMs: 1_000,
  minFreeBytes: 0,
  retentionBytes: 0,
  retentionAgeMs: 0,
  directBytes: 512 << 10,
  requestTimeoutMs: EVENT_TIMEOUT_MS,
};

export const BREAKER_DEFAULTS: BreakerConfig = {
  failures: 5,
  errorPercent: 50,
  windowMs: 10_000,
  openMs: 1_000,
};

/** A metric line as the encoder writes them; `pad` bytes longer. */
export function line(id: number, pad = 0): string {
  return `{"timestamp":1700000000000,"name":"m.${id}","value":${id},"type":"gauge","tags":{"k":"${'x'.repeat(pad)}"}}\n`;
}

/** Gives a writer's thread new shared memory, and the log as the directory has it. */
export function writerThreadData(
  dataDir: string,
  memory: WriterMemory,
  config: Partial<WriterConfig> & Pick<WriterThreadData['config'], 'phase'>,
): WriterThreadData {
  return {
    config: { ...WRITER_DEFAULTS, ...config, dataDir, revert: 'none' },
    memory,
    bell: createBell(),
    control: createControlBlock(),
    breaker: createBreakerMemory(BREAKER_DEFAULTS),
    counters: createCounterBlock(WRITER_SLOTS),
    histograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
    stats: createThreadStats(),
    recovered: recover(nodeFileOps, dataDir),
    directory: createDirectoryIdentity(nodeFileOps, dataDir),
  };
}

interface TurnedWriter extends RunningWriter {
  /** One turn at that monotonic time. */
  turn(nowMs: number): unknown;
}

/** An implementation, both of its ends in one thread. */
export interface TestedWriter {
  readonly name: string;
  createMemory(lanes: number, journalBytes: number): WriterMemory;
  /** @param nowMs the test's clock */
  openJournal(parts: WriterParts, lane: number, nowMs: () => number): Journal;
  createWriter(parts: WriterParts): TurnedWriter;
}

export const groupCommit: TestedWriter = {
  name: 'group commit',
  createMemory: createGroupCommitMemory,
  openJournal: ({ memory }, lane) => new JournalProducer(memory.journals[lane]!),
  createWriter: (parts) => createGroupCommitWriter(parts),
};

export const synchronous: TestedWriter = {
  name: 'synchronous',
  createMemory: createSynchronousMemory,
  openJournal: (parts, lane, nowMs) => new SynchronousJournal({ ...parts, lane }, nowMs),
  createWriter: (parts) => new MaintenanceWriter(parts),
};

export interface RigOptions {
  readonly tested?: TestedWriter;
  readonly dataDir?: string;
  readonly config?: Partial<WriterConfig>;
  readonly breaker?: Partial<BreakerConfig>;
  readonly ops?: FileOps;
  readonly lanes?: number;
  readonly journalBytes?: number;
}

export class WriterRig {
  readonly dataDir: string;
  readonly config: WriterConfig;
  readonly memory: WriterMemory;
  readonly control = new Control(createControlBlock());
  readonly bell = new Bell(createBell());
  readonly breaker: Breaker;
  readonly journals: Journal[];
  readonly messages: WriterMessage[] = [];
  readonly writer: TurnedWriter;
  private readonly counters = new Float64Array(createCounterBlock(WRITER_SLOTS));
  private readonly breakerMemory: SharedArrayBuffer;
  /** The directory that the process has locked. */
  readonly directory: DirectoryIdentity;
  private readonly tested: TestedWriter;
  private readonly parts: WriterParts;
  private nowMs = 1_000;

  constructor(options: RigOptions = {}) {
    const { tested = groupCommit, ops = nodeFileOps, lanes = 1, journalBytes = 16 << 20 } = options;
    this.dataDir = options.dataDir ?? temporaryDirectory();
    this.config = { ...WRITER_DEFAULTS, ...options.config, dataDir: this.dataDir };
    this.directory = new DirectoryIdentity(createDirectoryIdentity(nodeFileOps, this.dataDir));
    this.memory = tested.createMemory(lanes, journalBytes);
    this.breakerMemory = createBreakerMemory({ ...BREAKER_DEFAULTS, ...options.breaker });
    this.breaker = new Breaker(this.breakerMemory);
    const parts: WriterParts = {
      memory: this.memory,
      config: this.config,
      ops,
      bell: this.bell,
      control: this.control,
      breaker: this.breaker,
      counters: this.counters,
      histograms: new Histograms(createHistogramBlock(WRITER_HISTOGRAM_NAMES), WRITER_HISTOGRAM_NAMES),
      recovered: recover(nodeFileOps, this.dataDir),
      directory: this.directory,
      report: (message) => this.messages.push(message),
      sample: () => {},
    };
    this.tested = tested;
    this.parts = parts;
    this.writer = tested.createWriter(parts);
    this.journals = Array.from({ length: lanes });
    for (let lane = 0; lane < lanes; lane++) this.reopen(lane);
  }

  /** A new producer on a lane whose last one has ended. */
  reopen(lane: number): Journal {
    // Each thread has a breaker of its own over the same memory.
    const parts = { ...this.parts, breaker: new Breaker(this.breakerMemory) };
    const journal = this.tested.openJournal(parts, lane, () => this.nowMs);
    this.journals[lane] = journal;
    return journal;
  }

  count(slot: WriterSlot): number {
    return this.counters[WRITER[slot]]!;
  }

  /** Puts lines into a journal and publishes them; returns their cursor. */
  put(text: string, lane = 0): number {
    const journal = this.journals[lane]!;
    const cursor = this.commit(text, lane);
    journal.publish();
    this.bell.ring();
    return cursor;
  }

  /** Puts lines into a journal and leaves them there. */
  commit(text: string, lane = 0): number {
    const journal = this.journals[lane]!;
    const bytes = Buffer.from(text);
    const offset = journal.claim(bytes.length);
    if (offset === FULL) throw new Error('the journal is full');
    journal.bytes.set(bytes, offset);
    return journal.commit(offset + bytes.length, text.split('\n').length - 1);
  }

  /** One turn of the writer, `afterMs` later than the last on its clock. */
  turn(afterMs = 1): unknown {
    this.nowMs += afterMs;
    return this.writer.turn(this.nowMs);
  }

  /** The outcome of lines, or null while they are not settled. */
  outcome(cursor: number, lane = 0): number | null {
    const journal = this.journals[lane]!;
    return ((journal.storedCursor() - cursor) | 0) < 0 ? null : journal.outcome(cursor);
  }

  /** Puts lines, turns once and returns their outcome. */
  store(text: string, lane = 0): number | null {
    const cursor = this.put(text, lane);
    this.turn();
    return this.outcome(cursor, lane);
  }

  fatal(): Extract<WriterMessage, { kind: 'fatal' }>[] {
    return this.messages.filter((message) => message.kind === 'fatal');
  }

  /** Waits for what happens in later turns of the event loop, background syncs say. */
  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + EVENT_TIMEOUT_MS;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error('what the test waits for did not happen');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async stop(): Promise<void> {
    this.control.stopWriter();
    this.bell.ring();
    await this.writer.run();
  }

  segments(): string[] {
    return fs
      .readdirSync(this.dataDir)
      .filter((name) => /^metrics-\d+\.ndjson$/.test(name))
      .sort();
  }

  /** The bytes of all segments without seals. */
  storedText(): string {
    return this.segments()
      .map((name) => fs.readFileSync(join(this.dataDir, name), 'latin1'))
      .join('')
      .replaceAll(/,"seal":\{[^}]*\}/g, '');
  }

  remove(): void {
    fs.rmSync(this.dataDir, { recursive: true, force: true });
  }
}
