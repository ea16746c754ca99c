/** Allocates all shared memory once at start, sized by the configuration. The start-up line prints the sum. */
import { createBell } from '../base/bell.ts';
import { createControlBlock } from '../base/control.ts';
import { createBreakerMemory } from '../breaker/breaker.ts';
import type { Config } from '../config/load.ts';
import { breakerConfigOf, keyTableConfigOf, limiterConfigOf } from '../config/slices.ts';
import type { DispatcherModule } from '../dispatch/dispatcher.ts';
import { createKeyTable } from '../idempotency/table.ts';
import type { LimiterModule } from '../limiter/limiter.ts';
import { createCounterBlock, WORKER_SLOTS, WRITER_SLOTS } from '../telemetry/counters.ts';
import {
  createHistogramBlock,
  WORKER_HISTOGRAM_NAMES,
  WRITER_HISTOGRAM_NAMES,
} from '../telemetry/histogram.ts';
import type { TelemetryModule } from '../telemetry/recorder.ts';
import { createThreadStats } from '../telemetry/thread-stats.ts';
import type { WriterModule } from '../writer/writer.ts';
import type { ServingData } from './messages.ts';

/** The components whose memory layouts depend on the phase. */
export interface Modules {
  readonly dispatch: DispatcherModule;
  readonly limiter: LimiterModule;
  readonly telemetry: TelemetryModule;
  readonly writer: WriterModule;
}

export type SharedMemories = ReturnType<typeof allocateSharedMemory>;

export function allocateSharedMemory(config: Config, { dispatch, limiter, telemetry, writer }: Modules) {
  const acceptThreads = dispatch.acceptThreads(config);
  const requestThreads = dispatch.requestThreads(config);
  /** Serving threads: first those that accept, then the lanes of those that serve one request each. */
  const serving = acceptThreads + requestThreads;
  const each = <Memory>(count: number, create: () => Memory): Memory[] =>
    Array.from({ length: count }, create);
  return {
    acceptThreads,
    requestThreads,
    control: createControlBlock(),
    bell: createBell(),
    breaker: createBreakerMemory(breakerConfigOf(config)),
    limiter: limiter.createLimiterMemory(limiterConfigOf(config)),
    idempotency: createKeyTable(keyTableConfigOf(config)),
    writer: writer.createMemory(requestThreads || acceptThreads, config.journalBytes),
    samples: telemetry.createSampleMemories(serving),
    counters: each(serving, () => createCounterBlock(WORKER_SLOTS)),
    histograms: each(serving, () => createHistogramBlock(WORKER_HISTOGRAM_NAMES)),
    acceptStats: each(acceptThreads, createThreadStats),
    writerCounters: createCounterBlock(WRITER_SLOTS),
    writerHistograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
    writerStats: createThreadStats(),
  };
}

export function totalBytes(memories: SharedMemories): number {
  const { writer, samples, counters, histograms, acceptStats, ...rest } = memories;
  const single = Object.values(rest).filter((memory) => typeof memory !== 'number');
  // A set, because recorders may share one memory.
  const all = new Set([
    ...single,
    ...writer.journals,
    writer.common,
    ...samples,
    ...counters,
    ...histograms,
    ...acceptStats,
  ]);
  return [...all].reduce((total, { byteLength }) => total + byteLength, 0);
}

/** Start data of serving thread `index`. The first thread that serves a single request has lane 0. */
export function servingData(config: Config, memories: SharedMemories, index: number): ServingData {
  const { acceptThreads, control, bell, breaker, limiter, idempotency } = memories;
  const { writer, writerCounters, writerHistograms } = memories;
  return {
    config,
    lane: index < acceptThreads ? index : index - acceptThreads,
    memory: {
      control,
      bell,
      breaker,
      limiter,
      idempotency,
      writer,
      writerCounters,
      writerHistograms,
      counters: memories.counters[index]!,
      histograms: memories.histograms[index]!,
      samples: memories.samples[index]!,
    },
  };
}
