/** A writer in the test's own thread, turned by hand: real rings, real files, and whatever `FileOps` the test gives. */
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { Bell, createBell } from '../../src/base/bell.ts';
import { Control, createControlBlock } from '../../src/base/control.ts';
import { createCounterBlock, WRITER, WRITER_SLOTS, type WriterSlot } from '../../src/telemetry/counters.ts';
import { createHistogramBlock, Histograms, WRITER_HISTOGRAM_NAMES } from '../../src/telemetry/histogram.ts';
import { type FileOps, nodeFileOps } from '../../src/writer/file-ops.ts';
import { createMemory, GroupCommitWriter } from '../../src/writer/group-commit.ts';
import { JournalProducer } from '../../src/writer/journal-ring.ts';
import { recover } from '../../src/writer/recovery.ts';
import type { WriterConfig, WriterMessage } from '../../src/writer/writer.ts';

export function temporaryDirectory(): string {
  return fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-test-'));
}

export const WRITER_DEFAULTS: Omit<WriterConfig, 'dataDir'> = {
  ack: 'synced',
  segmentBytes: 64 << 20,
  segmentAgeMs: 3_600_000,
  syncIntervalMs: 1_000,
  minFreeBytes: 0,
  retentionBytes: 0,
  retentionAgeMs: 0,
  directBytes: 512 << 10,
};

/** A metric line as the encoder writes them; `pad` bytes longer. */
export function line(id: number, pad = 0): string {
  return `{"timestamp":1700000000000,"name":"m.${id}","value":${id},"type":"gauge","tags":{"k":"${'x'.repeat(pad)}"}}\n`;
}

export interface RigOptions {
  readonly dataDir?: string;
  readonly config?: Partial<WriterConfig>;
  readonly ops?: FileOps;
  readonly rings?: number;
  readonly ringBytes?: number;
}

export class WriterRig {
  readonly dataDir: string;
  readonly config: WriterConfig;
  readonly control = new Control(createControlBlock());
  readonly bell = new Bell(createBell());
  readonly producers: JournalProducer[];
  readonly messages: WriterMessage[] = [];
  readonly writer: GroupCommitWriter;
  private readonly counters = new Float64Array(createCounterBlock(WRITER_SLOTS));
  private nowMs = 1_000;

  constructor({ dataDir, config, ops = nodeFileOps, rings = 1, ringBytes = 16 << 20 }: RigOptions = {}) {
    this.dataDir = dataDir ?? temporaryDirectory();
    this.config = { ...WRITER_DEFAULTS, ...config, dataDir: this.dataDir };
    const memory = createMemory(rings, ringBytes);
    this.producers = memory.journals.map((ring) => new JournalProducer(ring));
    const { nextCommit, nextSegment } = recover(nodeFileOps, this.dataDir);
    this.writer = new GroupCommitWriter({
      memory,
      config: this.config,
      ops,
      bell: this.bell,
      control: this.control,
      counters: this.counters,
      histograms: new Histograms(createHistogramBlock(WRITER_HISTOGRAM_NAMES), WRITER_HISTOGRAM_NAMES),
      nextCommit,
      nextSegment,
      report: (message) => this.messages.push(message),
      sample: () => {},
    });
  }

  count(slot: WriterSlot): number {
    return this.counters[WRITER[slot]]!;
  }

  /** Puts lines into a ring and publishes them; returns their cursor. */
  put(text: string, ring = 0): number {
    const producer = this.producers[ring]!;
    const bytes = Buffer.from(text);
    const offset = producer.claim(bytes.length);
    if (offset < 0) throw new Error('the ring is full');
    producer.bytes.set(bytes, offset);
    const cursor = producer.commit(offset + bytes.length, text.split('\n').length - 1);
    producer.publish();
    this.bell.ring();
    return cursor;
  }

  /** One turn of the writer, `afterMs` later than the last on its clock. */
  turn(afterMs = 1): boolean {
    this.nowMs += afterMs;
    return this.writer.turn(this.nowMs);
  }

  /** What became of lines put: an outcome, or null while they are not settled. */
  outcome(cursor: number, ring = 0): number | null {
    const producer = this.producers[ring]!;
    return ((producer.storedCursor() - cursor) | 0) < 0 ? null : producer.outcome(cursor);
  }

  /** Puts, turns once and tells the outcome. */
  store(text: string): number | null {
    const cursor = this.put(text);
    this.turn();
    return this.outcome(cursor);
  }

  /** Waits for what happens in later turns of the event loop, background syncs say. */
  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 5_000;
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
      .filter((name) => name.startsWith('metrics-'))
      .sort();
  }

  /** All segments' bytes, seals taken off. */
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
