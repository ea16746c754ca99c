/**
 * Entry point of the thread that looks for a sample of requests in the files while the load runs.
 *
 * A request counts as stored at the moment a look at the files finds the commit with its last metric whole and
 * sealed. Looking costs what reading costs, so it has a budget: a tenth of the time, which may be saved up. When the
 * files grow faster than that allows, it rests, leaves out what was written meanwhile together with the samples
 * that may be in it, and watches anew: fewer requests are found, but none later than it was there to see.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import { idPrefix, MARK_SAMPLED, NUMBER_DIGITS } from '../generator/request-template.ts';
import { LatencyHistogram } from '../latency.ts';
import { SampleConsumer } from './sample-ring.ts';
import { SegmentFollower } from './segment-follower.ts';
import { WATCHING, type WatcherData, type WatcherReport, type WatcherStop } from './watcher-messages.ts';

const POLL_MS = 1;
/** Share of the time that looking may take, and how much of it may be saved up. */
const BUDGET_SHARE = 0.1;
const BUDGET_MAX_MS = 200;

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
let budgetMs = BUDGET_MAX_MS;
let stopAtMs = Number.POSITIVE_INFINITY;

function findSamples(lines: Buffer): void {
  const nowMs = monotonicMs();
  for (let at = lines.indexOf(needle); at >= 0; at = lines.indexOf(needle, at)) {
    at += needle.length;
    const number = Number(lines.toString('latin1', at, at + NUMBER_DIGITS));
    let intendedMs = pending.get(number);
    if (intendedMs === undefined) {
      // Sent and stored since this look began.
      drainSamples();
      intendedMs = pending.get(number);
    }
    if (intendedMs === undefined) continue;
    pending.delete(number);
    found++;
    latency.record(nowMs - intendedMs);
  }
}

function drainSamples(): void {
  for (const consumer of consumers) consumer.drain((number, intendedMs) => pending.set(number, intendedMs));
}

function look(): void {
  const startMs = monotonicMs();
  polls.record(startMs - lastLookMs);
  drainSamples();
  follower.readNew(findSamples);
  const nowMs = monotonicMs();
  if (nowMs >= stopAtMs || (stopAtMs !== Number.POSITIVE_INFINITY && pending.size === 0)) return end();
  budgetMs = Math.min(BUDGET_MAX_MS, budgetMs + (nowMs - lastLookMs) * BUDGET_SHARE - (nowMs - startMs));
  lastLookMs = startMs;
  if (budgetMs > 0) setTimeout(look, POLL_MS);
  else setTimeout(beginAnew, (BUDGET_MAX_MS - budgetMs) / BUDGET_SHARE);
}

function beginAnew(): void {
  drainSamples();
  skipped += pending.size;
  pending.clear();
  follower.skipToEnd();
  budgetMs = BUDGET_MAX_MS;
  lastLookMs = monotonicMs();
  setTimeout(look, POLL_MS);
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
// The first look compiles its code; its time is not that of looking.
budgetMs = BUDGET_MAX_MS;
port.postMessage(WATCHING);
