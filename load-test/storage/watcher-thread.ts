/**
 * Entry point of the thread that looks for a sample of requests in the files while the load runs.
 *
 * A request counts as stored at the moment a look at the files finds the commit with its last metric whole and
 * sealed. Looking costs what the reader costs, so it takes a tenth of the time at most, and when the files grow
 * faster than that allows, what is left to read is skipped together with the samples that may be in it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import { idPrefix, MARK_SAMPLED, NUMBER_DIGITS } from '../generator/request-template.ts';
import { LatencyHistogram } from '../latency.ts';
import { SampleConsumer } from './sample-ring.ts';
import { SegmentFollower } from './segment-follower.ts';
import type { WatcherData, WatcherReport, WatcherStop } from './watcher-messages.ts';

const POLL_MS = 1;
/** Wait after a look, as a multiple of what it took. */
const REST_FACTOR = 9;
const BACKLOG_MAX_BYTES = 16 << 20;

const { dataDir, runId, from, samples } = workerData as WatcherData;
const port = parentPort!;
const follower = new SegmentFollower(dataDir, from);
const consumers = samples.map((memory) => new SampleConsumer(memory));
const needle = Buffer.from(`${idPrefix(runId)}${MARK_SAMPLED}`);
const latency = new LatencyHistogram();
const polls = new LatencyHistogram();
/** Intended times of the samples not found yet, by number. */
const pending = new Map<number, number>();
let found = 0;
let skipped = 0;
let lastLookMs = monotonicMs();
let stopAtMs = Number.POSITIVE_INFINITY;

function findSamples(lines: Buffer): void {
  for (let at = lines.indexOf(needle); at >= 0; at = lines.indexOf(needle, at)) {
    at += needle.length;
    const number = Number(lines.toString('latin1', at, at + NUMBER_DIGITS));
    const intendedMs = pending.get(number);
    if (intendedMs === undefined) continue;
    pending.delete(number);
    found++;
    latency.record(monotonicMs() - intendedMs);
  }
}

function look(): void {
  const startMs = monotonicMs();
  polls.record(startMs - lastLookMs);
  lastLookMs = startMs;
  for (const consumer of consumers) consumer.drain((number, intendedMs) => pending.set(number, intendedMs));
  if (follower.backlogBytes() > BACKLOG_MAX_BYTES) {
    skipped += pending.size;
    pending.clear();
    follower.skipToEnd();
  }
  follower.readNew(findSamples);
  const nowMs = monotonicMs();
  if (nowMs >= stopAtMs || (stopAtMs !== Number.POSITIVE_INFINITY && pending.size === 0)) return end();
  setTimeout(look, Math.max(POLL_MS, (nowMs - startMs) * REST_FACTOR));
}

function end(): void {
  const report: WatcherReport = {
    latency: latency.encode(),
    polls: polls.encode(),
    found,
    skipped,
    pending: [...pending.keys()],
  };
  port.postMessage(report);
  port.close();
}

port.on('message', ({ withinMs }: WatcherStop) => {
  stopAtMs = monotonicMs() + withinMs;
});
look();
