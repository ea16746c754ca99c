/** Opens the components that the phase names over the shared memory of a serving thread. */
import { Bell } from '../base/bell.ts';
import { Control } from '../base/control.ts';
import { Breaker } from '../breaker/breaker.ts';
import { limiterConfigOf } from '../config/slices.ts';
import { RequestKeys } from '../idempotency/request-keys.ts';
import type { Limiter } from '../limiter/limiter.ts';
import { loadLimiter, loadParser, loadTelemetry, loadWriter, slotsOf } from '../phases.ts';
import { Pipeline } from '../pipeline.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { Histograms, WRITER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import { watchSyncs } from '../writer/watched-syncs.ts';
import type { ServingData } from './messages.ts';

export async function openRecorder({ config, memory }: ServingData): Promise<Recorder> {
  const telemetry = await loadTelemetry(slotsOf(config));
  return telemetry.openRecorder(memory.samples);
}

/** A limiter over the memory that all threads share. */
export async function openLimiter({ config, memory }: ServingData): Promise<Limiter> {
  const limiter = await loadLimiter(slotsOf(config));
  return limiter.openLimiter(memory.limiter, limiterConfigOf(config));
}

/** Reports of a pipeline, for the log, each with its reason. */
export interface PipelineEvents {
  /** The parser of the phase cannot run on this thread, and another one replaces it. */
  readonly parserFallback: (reason: string) => void;
  /** Requests with an idempotency key get 503. */
  readonly secretFailed: (reason: string) => void;
}

/** A pipeline into the thread's own journal. */
export async function openPipeline(data: ServingData, events: PipelineEvents): Promise<Pipeline> {
  const { config, lane, memory } = data;
  const slots = slotsOf(config);
  const [parser, limiter, writer] = await Promise.all([
    loadParser(slots),
    openLimiter(data),
    loadWriter(slots),
  ]);
  if (parser.unavailable) events.parserFallback(parser.unavailable);
  const breaker = new Breaker(memory.breaker);
  const journal = writer.openJournal({
    memory: memory.writer,
    lane,
    config,
    bell: new Bell(memory.bell),
    control: new Control(memory.control),
    breaker,
    counters: new Float64Array(memory.writerCounters),
    histograms: new Histograms(memory.writerHistograms, WRITER_HISTOGRAM_NAMES),
    ops: watchSyncs(nodeFileOps, breaker),
  });
  const keys =
    config.idempotencyWindowMs === 0
      ? null
      : new RequestKeys(
          memory.idempotency,
          new Float64Array(memory.counters),
          nodeFileOps,
          config.dataDir,
          events.secretFailed,
        );
  return new Pipeline(
    parser.createParser({ maxBodyBytes: config.maxBodyBytes, maxBatch: config.maxBatch }),
    limiter,
    journal,
    { ...limiterConfigOf(config), maxBatch: config.maxBatch, dedupsBodies: config.dedup === 'body' },
    keys,
  );
}
