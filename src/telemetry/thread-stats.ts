/**
 * Statistics of a thread, recorded for main: event-loop delay and utilisation, heap, garbage collection.
 *
 * One block of Float64 slots per thread. The thread writes it about once a second with plain stores, and main reads it
 * at scrape time:
 *
 * ```
 *  slot 0  SAMPLED_MS               monotonic; 0 before the first sample
 *       1  LOOP_DELAY_P50_NS        delay of the event loop's timers over the last interval
 *       2  LOOP_DELAY_P99_NS
 *       3  LOOP_DELAY_MAX_NS
 *       4  LOOP_ACTIVE_MS           since the thread started
 *       5  LOOP_IDLE_MS             since the thread started
 *       6  HEAP_USED_BYTES          of the thread's V8 isolate
 *       7  HEAP_TOTAL_BYTES
 *       8  EXTERNAL_BYTES           memory outside the heap that its objects own
 *       9  GC_PAUSES                since sampling started
 *      10  GC_NS                    since sampling started
 * ```
 */
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { monotonicMs } from '../base/clock.ts';
import { NS_PER_MS } from '../base/units.ts';
import { createCounterBlock, slotIndex } from './counters.ts';

const THREAD_STATS_NAMES = [
  'sampled_ms',
  'loop_delay_p50_ns',
  'loop_delay_p99_ns',
  'loop_delay_max_ns',
  'loop_active_ms',
  'loop_idle_ms',
  'heap_used_bytes',
  'heap_total_bytes',
  'external_bytes',
  'gc_pauses',
  'gc_ns',
] as const;

const SLOT = slotIndex(THREAD_STATS_NAMES);

const SAMPLE_INTERVAL_MS = 1000;
/**
 * Interval of the event-loop delay monitor; a finer one costs more wake-ups. Node reports the time between two of its
 * ticks, which includes this interval.
 */
const LOOP_DELAY_RESOLUTION_MS = 20;

function delayNs(betweenTicksNs: number): number {
  return Math.max(betweenTicksNs - LOOP_DELAY_RESOLUTION_MS * NS_PER_MS, 0);
}

export type ThreadStats = Readonly<Record<(typeof THREAD_STATS_NAMES)[number], number>>;

export function createThreadStats(): SharedArrayBuffer {
  return createCounterBlock(THREAD_STATS_NAMES);
}

/** The latest sample of a thread, or null before its first one. */
export function readThreadStats(memory: SharedArrayBuffer): ThreadStats | null {
  const slots = new Float64Array(memory);
  if (slots[SLOT.sampled_ms] === 0) return null;
  const entries = THREAD_STATS_NAMES.map((name) => [name, slots[SLOT[name]]!] as const);
  return Object.fromEntries(entries) as Record<(typeof THREAD_STATS_NAMES)[number], number>;
}

/** Samples its own thread. A thread that rarely turns its event loop calls `sample` itself; see startThreadStats. */
export class ThreadSampler {
  private readonly slots: Float64Array;
  private readonly loopDelay = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
  private readonly collections: PerformanceObserver;

  /** @param watchesLoop false for a thread that rarely turns its event loop by design */
  constructor(memory: SharedArrayBuffer, watchesLoop = true) {
    this.slots = new Float64Array(memory);
    if (watchesLoop) this.loopDelay.enable();
    this.collections = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        this.slots[SLOT.gc_pauses]! += 1;
        this.slots[SLOT.gc_ns]! += duration * NS_PER_MS;
      }
    });
    this.collections.observe({ entryTypes: ['gc'] });
  }

  sample(): void {
    const { slots, loopDelay } = this;
    // Without a turn of the event loop in the interval, the histogram is empty and returns NaN.
    const hasDelays = loopDelay.count > 0;
    slots[SLOT.loop_delay_p50_ns] = hasDelays ? delayNs(loopDelay.percentile(50)) : 0;
    slots[SLOT.loop_delay_p99_ns] = hasDelays ? delayNs(loopDelay.percentile(99)) : 0;
    slots[SLOT.loop_delay_max_ns] = hasDelays ? delayNs(loopDelay.max) : 0;
    loopDelay.reset();
    const { active, idle } = performance.eventLoopUtilization();
    slots[SLOT.loop_active_ms] = active;
    slots[SLOT.loop_idle_ms] = idle;
    const heap = getHeapStatistics();
    slots[SLOT.heap_used_bytes] = heap.used_heap_size;
    slots[SLOT.heap_total_bytes] = heap.total_heap_size;
    slots[SLOT.external_bytes] = heap.external_memory;
    slots[SLOT.sampled_ms] = monotonicMs();
  }

  stop(): void {
    this.loopDelay.disable();
    this.collections.disconnect();
  }
}

/** Samples this thread now and every second, without keeping it alive. Returns a function that stops it. */
export function startThreadStats(memory: SharedArrayBuffer): () => void {
  const sampler = new ThreadSampler(memory);
  sampler.sample();
  const timer = setInterval(() => sampler.sample(), SAMPLE_INTERVAL_MS).unref();
  return () => {
    clearInterval(timer);
    sampler.stop();
  };
}
