/** Hands over what was recorded second by second, with the share of time the thread was busy. */
import { performance } from 'node:perf_hooks';
import { monotonicMs } from '../../src/base/clock.ts';
import type { FromGenerator, SliceMessage } from './messages.ts';
import type { Recorder } from './recorder.ts';

const SLICE_MS = 1_000;

export class Slices {
  /** Goes up with everything that is sent and everything that comes back. */
  activity = 0;

  private readonly thread: number;
  private readonly recorder: Recorder;
  private readonly post: (message: FromGenerator) => void;
  private readonly now: () => { readonly inFlight: number; readonly waiting: number };
  private timer: NodeJS.Timeout | null = null;
  private measureMs = 0;
  private slice = 0;
  private startMs = 0;
  /** Time the loop waited for events, and time it turned in vain. */
  private loopIdleMs = 0;
  private turnedIdleMs = 0;
  private seenActivity = 0;
  private turnMs = 0;

  constructor(
    thread: number,
    recorder: Recorder,
    post: (message: FromGenerator) => void,
    now: () => { readonly inFlight: number; readonly waiting: number },
  ) {
    this.thread = thread;
    this.recorder = recorder;
    this.post = post;
    this.now = now;
  }

  begin(measureMs: number): void {
    this.measureMs = measureMs;
    this.arm();
  }

  /** The last part of a second, and the warm-up. */
  end(warmUp: Recorder): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.slice = Math.max(1, this.slice);
    this.handOver(this.recorder);
    this.slice = 0;
    this.startMs = monotonicMs();
    this.handOver(warmUp);
  }

  /** A turn of the loop begins; `spun` when it was asked for without waiting. */
  turn(spun: boolean): void {
    const nowMs = monotonicMs();
    if (spun && this.activity === this.seenActivity) this.turnedIdleMs += nowMs - this.turnMs;
    this.seenActivity = this.activity;
    this.turnMs = nowMs;
  }

  private arm(): void {
    const dueMs = this.measureMs + this.slice * SLICE_MS;
    this.timer = setTimeout(
      () => {
        if (this.slice > 0) this.handOver(this.recorder);
        this.startMs = monotonicMs();
        this.loopIdleMs = performance.eventLoopUtilization().idle;
        this.turnedIdleMs = 0;
        this.slice++;
        this.arm();
      },
      Math.max(0, dueMs - monotonicMs()),
    );
  }

  private handOver(recorder: Recorder): void {
    const wallMs = monotonicMs() - this.startMs;
    const idleMs = performance.eventLoopUtilization().idle - this.loopIdleMs + this.turnedIdleMs;
    const message: SliceMessage = {
      kind: 'slice',
      thread: this.thread,
      slice: this.slice,
      seconds: wallMs / 1e3,
      busyMs: Math.max(0, wallMs - idleMs),
      ...recorder.take(),
      ...this.now(),
    };
    this.post(message);
  }
}
