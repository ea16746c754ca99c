/** A whole writer for a benchmark: its thread as the server starts it, and one thread that serves requests. */
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Bell, createBell } from '../../src/base/bell.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { Control, createControlBlock } from '../../src/base/control.ts';
import { Breaker, type BreakerConfig, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { FULL, type Journal, STORED } from '../../src/journal/journal.ts';
import { loadWriter, slotsOf } from '../../src/phases.ts';
import { createDirectoryIdentity } from '../../src/storage/directory-identity.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { recover } from '../../src/storage/recovery.ts';
import { createCounterBlock, WRITER, WRITER_SLOTS } from '../../src/telemetry/counters.ts';
import { createHistogramBlock, Histograms, WRITER_HISTOGRAM_NAMES } from '../../src/telemetry/histogram.ts';
import { createThreadStats } from '../../src/telemetry/thread-stats.ts';
import type { WriterConfig, WriterThreadData } from '../../src/writer/writer.ts';

export const WRITERS = ['synchronous', 'group commit'] as const;
export type WriterName = (typeof WRITERS)[number];
export const ACKS = ['written', 'synced'] as const;
export type BenchedAck = (typeof ACKS)[number];

const ENTRY = new URL('../../src/threads/writer-worker.js', import.meta.url);
const JOURNAL_BYTES = 32 << 20;
const WAIT_MS = 1_000;

const CONFIG: Omit<WriterConfig, 'ack' | 'dataDir' | 'syncIntervalMs'> = {
  segmentBytes: 64 << 20,
  segmentAgeMs: 3_600_000,
  minFreeBytes: 64 << 20,
  // So that a long run does not fill the disk.
  retentionBytes: 512 << 20,
  retentionAgeMs: 0,
  directBytes: 512 << 10,
  // A stall of the disk shall delay lines and refuse none.
  requestTimeoutMs: 60_000,
};

const BREAKER: BreakerConfig = { failures: 5, errorPercent: 50, windowMs: 10_000, openMs: 1_000 };

interface Waiting {
  readonly cursor: number;
  readonly startMs: number;
}

export class BenchedStore {
  readonly dataDir: string;
  readonly counters: Float64Array;
  private readonly data: WriterThreadData;
  private readonly bell: Bell;
  private readonly journal: Journal;
  private readonly worker: Worker;

  private constructor(data: WriterThreadData, dataDir: string, journal: Journal, worker: Worker) {
    this.dataDir = dataDir;
    this.data = data;
    this.bell = new Bell(data.bell);
    this.counters = new Float64Array(data.counters);
    this.journal = journal;
    this.worker = worker;
  }

  static async open(name: WriterName, ack: BenchedAck, syncIntervalMs: number): Promise<BenchedStore> {
    const dataDir = fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-bench-'));
    const revert = name === 'synchronous' ? ('writer' as const) : ('none' as const);
    const config = { ...CONFIG, ack, dataDir, syncIntervalMs, phase: 6, revert };
    const { createMemory, openJournal } = await loadWriter(slotsOf(config));
    const data: WriterThreadData = {
      config,
      memory: createMemory(1, JOURNAL_BYTES),
      bell: createBell(),
      control: createControlBlock(),
      breaker: createBreakerMemory(BREAKER),
      counters: createCounterBlock(WRITER_SLOTS),
      histograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
      stats: createThreadStats(),
      recovered: recover(nodeFileOps, dataDir),
      directory: createDirectoryIdentity(nodeFileOps, dataDir),
    };
    const worker = new Worker(ENTRY, { workerData: data });
    await once(worker, 'message');
    const journal = openJournal({
      memory: data.memory,
      lane: 0,
      config,
      bell: new Bell(data.bell),
      control: new Control(data.control),
      breaker: new Breaker(data.breaker),
      counters: new Float64Array(data.counters),
      histograms: new Histograms(data.histograms, WRITER_HISTOGRAM_NAMES),
      ops: nodeFileOps,
    });
    return new BenchedStore(data, dataDir, journal, worker);
  }

  /**
   * Serves requests of clients that each send the next as soon as the last is answered.
   * @param lines of each request
   * @param nextRequest the lines of the next request, or null at the end
   * @param settled called with the time from a request's commit until it is stored
   */
  serve(
    clients: number,
    lines: number,
    nextRequest: () => Uint8Array | null,
    settled: (tookMs: number) => void,
  ): void {
    const { journal, bell } = this;
    const waiting: Waiting[] = [];
    for (;;) {
      while (waiting.length < clients) {
        const request = nextRequest();
        if (request === null) break;
        const offset = journal.claim(request.length);
        if (offset === FULL) throw new Error('the journal is full');
        const startMs = monotonicMs();
        journal.bytes.set(request, offset);
        waiting.push({ cursor: journal.commit(offset + request.length, lines), startMs });
      }
      if (waiting.length === 0) return;
      if (journal.publish()) bell.ring();
      this.settle(waiting, settled);
    }
  }

  private settle(waiting: Waiting[], settled: (tookMs: number) => void): void {
    const { journal } = this;
    let stored = journal.storedCursor();
    while (((stored - waiting[0]!.cursor) | 0) < 0) {
      journal.blockUntilStored(stored, WAIT_MS);
      stored = journal.storedCursor();
    }
    const nowMs = monotonicMs();
    while (waiting.length > 0 && ((stored - waiting[0]!.cursor) | 0) >= 0) {
      const { cursor, startMs } = waiting.shift()!;
      if (journal.outcome(cursor) !== STORED) throw new Error('lines were not stored');
      settled(nowMs - startMs);
    }
  }

  /** Resolves when nothing written waits for a background sync any more. */
  async synced(): Promise<void> {
    while (this.counters[WRITER.unsynced_bytes_now]! > 0) await new Promise((done) => setTimeout(done, 10));
  }

  async stop(): Promise<void> {
    const exited = once(this.worker, 'exit');
    new Control(this.data.control).stopWriter();
    this.bell.ring();
    await exited;
  }

  remove(): void {
    fs.rmSync(this.dataDir, { recursive: true, force: true });
  }
}
