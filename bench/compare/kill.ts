/**
 * Tests what an acknowledgement is worth: kills a server under load with SIGKILL, starts it again on the same
 * directory, and asks it for its metrics. Those it acknowledged and does not have are lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { inScratch, withChild } from '../under-test/process.ts';
import { CONNECTIONS } from '../under-test/wrk.ts';
import type { Contender } from './contenders.ts';
import { firstStamp } from './peer-cell.ts';
import { type Ledger, StampedClient } from './stamped-client.ts';
import { STAMP_MS, type StampedWorkload } from './stamped-workload.ts';

const POLL_MS = 10;

export interface KillOptions {
  readonly contender: Contender;
  readonly workload: StampedWorkload;
  /** From the first request to the kill. */
  readonly seconds: number;
  readonly scratch: string;
}

export type KillResult = Awaited<ReturnType<typeof killInLoad>>;

/** Metrics kept of each request. @throws for a timestamp that was never sent, or a metric that is there twice */
class Kept {
  private readonly counts: Uint32Array;
  private readonly first: number;
  private readonly batch: number;

  constructor(requests: number, first: number, batch: number) {
    this.counts = new Uint32Array(requests);
    this.first = first;
    this.batch = batch;
  }

  add(timestamp: number): void {
    const request = Math.floor(timestamp / STAMP_MS) - this.first;
    const count = (this.counts[request] ?? Number.NaN) + 1;
    if (!(count <= this.batch)) throw new Error(`timestamp ${timestamp} was not sent, or is there too often`);
    this.counts[request] = count;
  }

  of(request: number): number {
    return this.counts[request] ?? 0;
  }
}

function losses(ledger: Ledger, kept: Kept, batch: number, killedAt: number) {
  let [lost, torn, lostMs] = [0, 0, 0];
  for (let request = 0; request < ledger.sent; request++) {
    const acknowledgedAt = ledger.acknowledgedAt(request);
    const count = kept.of(request);
    if (acknowledgedAt === 0 || count === batch) continue;
    lost += batch - count;
    if (count > 0) torn += 1;
    lostMs = Math.max(lostMs, killedAt - acknowledgedAt);
  }
  return {
    /** Acknowledged metrics that the restarted server does not have. */
    lost,
    /** Acknowledged requests that it has in part only. */
    torn,
    /** How long before the kill the oldest lost request was acknowledged; 0 when nothing is lost. */
    lostSeconds: lostMs / 1e3,
  };
}

/** Loads a server and kills it. @returns when, and what was acknowledged until then */
async function killedUnderLoad(
  { contender, workload, seconds }: KillOptions,
  dataDir: string,
  first: number,
): Promise<{ ledger: Ledger; killedAt: number }> {
  const { path, encoding } = contender;
  return withChild(contender.start(dataDir), async (victim) => {
    const client = new StampedClient({
      ...{ port: victim.port, path, encoding, workload },
      ...{ connections: CONNECTIONS, firstStamp: first },
    });
    const load = client.run().then(() => true);
    let isOver = false;
    // The first answer of a busy machine may take longer than the load should last.
    while (client.ledger.acknowledged === 0 && !isOver)
      isOver = await Promise.race([load, sleep(POLL_MS, false)]);
    await Promise.race([sleep(seconds * 1e3), load]);
    const killedAt = performance.now();
    victim.kill();
    await victim.exited;
    await load;
    if (client.ledger.acknowledged === 0) throw new Error('nothing was acknowledged before the kill');
    return { ledger: client.ledger, killedAt };
  });
}

export function killInLoad(options: KillOptions) {
  const { contender, workload, seconds, scratch } = options;
  const { batch } = workload;
  return inScratch(scratch, async (_directory, dataDir) => {
    const first = firstStamp();
    const { ledger, killedAt } = await killedUnderLoad(options, dataDir, first);
    const restartedAt = performance.now();
    return withChild(contender.start(dataDir), async (heir) => {
      /** Until the killed server answered again. */
      const restartSeconds = (performance.now() - restartedAt) / 1e3;
      const kept = new Kept(ledger.sent, first, batch);
      await contender.storage(heir, dataDir).forEachTimestamp((timestamp) => kept.add(timestamp));
      await heir.stop();
      /** Metrics in all requests that were acknowledged. */
      const acknowledged = ledger.acknowledged * batch;
      const loss = losses(ledger, kept, batch, killedAt);
      return { server: contender.name, batch, seconds, acknowledged, ...loss, restartSeconds };
    });
  });
}
