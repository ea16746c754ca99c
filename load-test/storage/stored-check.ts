/**
 * Accepted = stored: whether the files hold every metric of every request that was accepted, none of a request that
 * was refused, and none twice. Without the files, what the server's own counters say.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../../src/base/clock.ts';
import { FATE_ACCEPTED, FATE_REFUSED } from '../generator/messages.ts';
import { idPrefix, MARK_PLAIN, NUMBER_DIGITS } from '../generator/request-template.ts';
import type { StoredCheck } from '../plan.ts';
import { type FilePlace, SegmentFollower } from './segment-follower.ts';

const LOOK_AGAIN_MS = 50;
const DIGIT_0 = 0x30;

/** The outcomes by the answers, including the warm-up. */
export interface Answers {
  readonly acceptedMetrics: number;
  /** Requests without an answer that tells their fate. */
  readonly unknownRequests: number;
  readonly batch: number;
  /** FATE_… of each thread's requests, by their number in the thread. */
  readonly fates: readonly Uint8Array[];
}

/** How often each request's number stands in the files. */
class StoredCounts {
  total = 0;
  readonly counts: Uint32Array;
  /** Of this run, but of no request it sent. */
  strange = 0;
  private readonly prefix: Buffer;

  constructor(runId: string, requests: number) {
    this.prefix = Buffer.from(idPrefix(runId));
    this.counts = new Uint32Array(requests);
  }

  readonly take = (lines: Buffer): void => {
    const { prefix, counts } = this;
    for (let at = lines.indexOf(prefix); at >= 0; at = lines.indexOf(prefix, at)) {
      // The mark stands between prefix and number.
      at += prefix.length + MARK_PLAIN.length;
      let number = 0;
      for (let k = 0; k < NUMBER_DIGITS; k++) number = number * 10 + lines[at + k]! - DIGIT_0;
      this.total++;
      if (number < counts.length) counts[number]!++;
      else this.strange++;
    }
  };
}

export interface FileCheckOptions {
  readonly dataDir: string;
  /** Where the files ended before the run. */
  readonly from: FilePlace;
  readonly runId: string;
  readonly withinMs: number;
}

/** Reads what the run added to the files, and waits for what is missing until its time is up. */
export async function checkFiles(options: FileCheckOptions, answers: Answers): Promise<StoredCheck> {
  const { dataDir, from, runId, withinMs } = options;
  const { fates, batch, acceptedMetrics } = answers;
  const threads = fates.length;
  const requests = Math.max(...fates.map((thread) => thread.length)) * threads;
  const stored = new StoredCounts(runId, requests);
  const follower = new SegmentFollower(dataDir, from);
  const deadlineMs = monotonicMs() + withinMs;
  for (;;) {
    follower.readNew(stored.take);
    if (stored.total >= acceptedMetrics || monotonicMs() >= deadlineMs) break;
    await sleep(LOOK_AGAIN_MS);
  }
  let missing = 0;
  let refusedButStored = stored.strange;
  let duplicated = 0;
  for (const [thread, settled] of fates.entries()) {
    for (let local = 0; local < settled.length; local++) {
      const count = stored.counts[local * threads + thread]!;
      const fate = settled[local];
      if (fate === FATE_REFUSED) refusedButStored += count;
      else {
        duplicated += Math.max(0, count - batch);
        if (fate === FATE_ACCEPTED) missing += Math.max(0, batch - count);
      }
    }
  }
  const unknown = answers.unknownRequests * batch;
  const surplus = stored.total - acceptedMetrics;
  const isSum = surplus >= 0 && surplus <= unknown;
  const ok = missing === 0 && refusedButStored === 0 && duplicated === 0 && isSum && follower.vanished === 0;
  return {
    kind: 'files',
    ok,
    accepted: acceptedMetrics,
    stored: stored.total,
    unknown,
    missing,
    refusedButStored,
    duplicated,
    detail: ok
      ? `read from the files: every metric that was accepted${unknown > 0 ? `, and ${surplus} of those whose fate is unknown` : ''}`
      : fileProblems({ missing, refusedButStored, duplicated, isSum, vanished: follower.vanished }),
  };
}

function fileProblems(problems: {
  missing: number;
  refusedButStored: number;
  duplicated: number;
  isSum: boolean;
  vanished: number;
}): string {
  const { missing, refusedButStored, duplicated, isSum, vanished } = problems;
  const texts: string[] = [];
  if (missing > 0) texts.push(`${missing} accepted metrics are not in the files`);
  if (refusedButStored > 0) texts.push(`${refusedButStored} metrics are in the files though refused`);
  if (duplicated > 0) texts.push(`${duplicated} metrics are in the files twice`);
  if (vanished > 0) texts.push(`${vanished} files were removed while the load ran (retention?)`);
  if (texts.length === 0 && !isSum) texts.push('the answers and the files disagree about how many');
  return texts.join('; ');
}

/** The JSON of `GET /metrics`. */
export interface ServerCounters {
  readonly accepted: number;
  readonly stored: number;
}

/** Undefined when the server has no such summary. */
export async function readCounters(
  host: string,
  port: number,
  timeoutMs: number,
): Promise<ServerCounters | undefined> {
  try {
    const address = host.includes(':') ? `[${host}]` : host;
    const response = await fetch(`http://${address}:${port}/metrics`, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { metrics } = (await response.json()) as { metrics?: Partial<ServerCounters> };
    if (!response.ok || typeof metrics?.accepted !== 'number' || typeof metrics.stored !== 'number') {
      return undefined;
    }
    return { accepted: metrics.accepted, stored: metrics.stored };
  } catch {
    return undefined;
  }
}

/** Compares the server's counters before and after; other clients of the server make them larger, never smaller. */
export async function checkCounters(
  read: () => Promise<ServerCounters | undefined>,
  before: ServerCounters | undefined,
  withinMs: number,
  answers: Answers,
): Promise<StoredCheck> {
  const { acceptedMetrics: accepted, unknownRequests, batch } = answers;
  const unknown = unknownRequests * batch;
  const deadlineMs = monotonicMs() + withinMs;
  let after = await read();
  while (before && after && after.stored - before.stored < accepted && monotonicMs() < deadlineMs) {
    await sleep(LOOK_AGAIN_MS);
    after = await read();
  }
  if (before === undefined || after === undefined) {
    const detail = 'not made: the server has no JSON summary at GET /metrics, and no --data-dir was given';
    return { kind: 'none', ok: true, accepted, unknown, detail };
  }
  const stored = after.stored - before.stored;
  const counted = after.accepted - before.accepted;
  const ok = stored >= accepted && counted >= accepted;
  const others = counted > accepted + unknown ? '; other clients sent besides' : '';
  const detail = ok
    ? `by the server's own counters: ${counted} accepted, ${stored} stored${others}`
    : `the server counts ${counted} accepted and ${stored} stored`;
  return { kind: 'counters', ok, accepted, stored, unknown, detail };
}
