/** One data directory through its faults: the servers on it, the loads on them, and the tally of both. */
import assert from 'node:assert/strict';
import { namesBody, uniqueName } from '../../support/bodies.ts';
import type { Owner } from '../../support/clean-up.ts';
import { Scrape } from '../../support/exposition.ts';
import { postRequest, RawConnection } from '../../support/raw-http.ts';
import {
  type Exit,
  type ServerOptions,
  type ServerProcess,
  startServer,
  temporaryDirectory,
  verify,
} from '../../support/server-process.ts';
import { StoredReader } from '../../support/stored-reader.ts';
import { type LoadOptions, TrackedLoad } from '../../support/tracked-load.ts';
import type { FaultTally } from './fault-case.ts';

export type Ack = 'received' | 'written' | 'synced';

/** A line is longer: `{"timestamp":1700000000000,"name":"","value":1,"type":"gauge"}` and its newline. */
const LINE_BYTES_LEAST = 62;
/** Time for one request while waiting for the server to come back. */
const PROBE_TIMEOUT_MS = 60_000;
const RECOVERY_TIMEOUT_MS = 180_000;
const PROBE_PAUSE_MS = 5;

export type Wal = 'io_uring' | 'aio' | 'pool';

/** Tests run without the write-ahead log unless they name a back-end. */
export const walArgs = (wal: Wal | undefined): string[] => (wal === undefined ? [] : ['--wal', wal]);

/** Options of `serve` that cases share: files small enough for rotations to fall into every fault. */
export function serveArgs(phase: number, ack: Ack, more: readonly string[] = []): string[] {
  return [
    ...['--phase', String(phase), '--workers', '2', '--ack', ack],
    ...['--segment-bytes', '64k', '--rate-limit', '1000000', ...more],
  ];
}

/** A limiter's lock may be held by a thread that waits for its turn on the machine, which is answered with 503. */
export const UNLIMITED = ['--rate-limit', '0'];

const LOAD: Omit<LoadOptions, 'prefix'> = {
  connections: 8,
  batchMax: 20,
  withBroken: true,
  refusalPauseMs: 10,
};

let nextLoad = 0;

/** Lines that a fault may lose: queued, or written and not yet synced. */
export interface Unsafe {
  readonly queued: boolean;
  readonly unsynced: boolean;
}

export class FaultRun {
  server!: ServerProcess;
  tries = 0;
  readonly dataDir: string;
  private readonly owner: Owner;
  private readonly options: ServerOptions;
  private readonly reader: StoredReader;
  /** Loads not yet judged, by the prefix of their names. */
  private readonly loads = new Map<string, TrackedLoad>();
  /** Single metrics that showed that the server is back. */
  private readonly probes = new Set<string>();
  private lossBound = 0;
  /** The part of it that belongs to what is not yet judged; null while nothing may be lost. */
  private allowedLoss: number | null = null;
  private readonly recoveriesMs: number[] = [];
  private readonly totals = { acknowledged: 0, refused: 0, unknown: 0, lost: 0, refusedButStored: 0 };

  private constructor(owner: Owner, options: ServerOptions) {
    this.owner = owner;
    this.dataDir = options.dataDir ?? temporaryDirectory(owner);
    this.options = { ...options, dataDir: this.dataDir };
    this.reader = new StoredReader(this.dataDir);
  }

  static async start(owner: Owner, options: ServerOptions): Promise<FaultRun> {
    const run = new FaultRun(owner, options);
    run.server = await startServer(owner, run.options);
    return run;
  }

  startLoad(options: Partial<LoadOptions> = {}): TrackedLoad {
    nextLoad += 1;
    const prefix = `load-${nextLoad}`;
    const load = new TrackedLoad(this.server.port, { ...LOAD, ...options, prefix });
    this.loads.set(`${prefix}.`, load);
    this.owner.after(() => load.stop());
    return load;
  }

  /** A metric that the server exposes now, summed over its labels. */
  async scraped(metric: string): Promise<number> {
    return (await Scrape.of(this.server.port)).sum(metric);
  }

  /** Metrics acknowledged to the loads so far and not yet judged. */
  get acknowledged(): number {
    return [...this.loads.values()].reduce((sum, { ledger }) => sum + ledger.acknowledged, 0);
  }

  /**
   * Strikes so that the server ends, and allows as many metrics to be lost as the gauges name as unsafe just before
   * and as are acknowledged from then on.
   * @param unsafe which gauges: none allows no loss at all
   */
  async strike(unsafe: Unsafe, strike: () => unknown): Promise<void> {
    const acknowledgedBefore = this.acknowledged;
    const scrape = unsafe.queued || unsafe.unsynced ? await Scrape.of(this.server.port) : null;
    await strike();
    await this.server.exited;
    await this.loadsDone();
    if (scrape === null) return;
    const queuedBytes = unsafe.queued ? scrape.sum('metricsstream_queue_bytes') : 0;
    const unsynced = unsafe.unsynced ? scrape.sum('metricsstream_unsynced_metrics') : 0;
    const since = this.acknowledged - acknowledgedBefore;
    this.allowedLoss = Math.ceil(queuedBytes / LINE_BYTES_LEAST) + unsynced + since;
    this.lossBound += this.allowedLoss;
  }

  async loadsDone(): Promise<void> {
    await Promise.all([...this.loads.values()].map((load) => load.done));
  }

  async stopLoads(): Promise<void> {
    await Promise.all([...this.loads.values()].map((load) => load.stop()));
  }

  /** The server ends by itself, and not as if all were well. */
  async endsInFailure(): Promise<Exit> {
    const exit = await this.server.exited;
    assert.ok(exit.code !== 0, `ended with 0:\n${this.server.output()}`);
    await this.loadsDone();
    return exit;
  }

  /** Behind an end: a new server on the directory, everything judged, and how long until it stores again. */
  async restart(): Promise<void> {
    const startedAt = performance.now();
    this.server = await startServer(this.owner, this.options);
    await this.storesAgain(startedAt);
    this.judge();
  }

  /** Waits until a metric is stored, and counts the time since `endedAt` as recovery. */
  async storesAgain(endedAt: number): Promise<void> {
    const deadline = endedAt + RECOVERY_TIMEOUT_MS;
    while (!(await this.probe())) {
      if (performance.now() > deadline) assert.fail(`not back after ${RECOVERY_TIMEOUT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE_MS));
    }
    this.recoveriesMs.push(performance.now() - endedAt);
  }

  get fastestRecoveryMs(): number {
    return Math.min(...this.recoveriesMs);
  }

  private async probe(): Promise<boolean> {
    const name = uniqueName('probe');
    this.probes.add(name);
    const connection = await RawConnection.open(this.server.port);
    try {
      connection.send(postRequest(namesBody(name)));
      const event = await connection.next(PROBE_TIMEOUT_MS);
      return event.kind === 'response' && event.response.status < 300;
    } finally {
      connection.close();
    }
  }

  /** Compares the ledgers of the loads since the last call with the files. Call it only while nothing is being stored. */
  judge(): string[] {
    const names = this.reader.newNames();
    const byLoad = new Map<string, Map<string, number>>();
    for (const name of names) {
      const prefix = name.slice(0, name.indexOf('.') + 1);
      // A metric that an earlier server was sent and that shows up only now is as foreign as one never sent.
      assert.ok(this.loads.has(prefix) || this.probes.has(name), `${name} was stored, but not sent since`);
      const counts = byLoad.get(prefix) ?? new Map<string, number>();
      byLoad.set(prefix, counts.set(name, (counts.get(name) ?? 0) + 1));
    }
    let lostNow = 0;
    for (const [prefix, { ledger }] of this.loads) {
      const { lost, refusedStored, twice, foreign } = ledger.compare(byLoad.get(prefix) ?? new Map(), prefix);
      assert.deepEqual({ twice, foreign }, { twice: [], foreign: [] });
      for (const fate of ['acknowledged', 'refused', 'unknown'] as const) {
        this.totals[fate] += ledger.count(fate);
      }
      lostNow += lost.length;
      this.totals.refusedButStored += refusedStored.length;
    }
    // A bound that is not used up does not make up for a loss at another time.
    const allowed = this.allowedLoss ?? Number.POSITIVE_INFINITY;
    assert.ok(lostNow <= allowed, `${lostNow} acknowledged metrics lost at once, ${allowed} allowed`);
    this.totals.lost += lostNow;
    this.allowedLoss = null;
    this.loads.clear();
    return names;
  }

  /** Stops the server in order, judges what is left, has every seal checked, and adds everything up. */
  async finish(note = ''): Promise<FaultTally> {
    await this.stopLoads();
    const exit = await this.server.stop();
    assert.deepEqual(exit, { code: 0, signal: null }, this.server.output());
    this.judge();
    const check = await verify(this.dataDir);
    assert.equal(check.code, 0, check.stdout + check.stderr);
    return this.tally(note);
  }

  tally(note = ''): FaultTally {
    const { tries, totals, lossBound, recoveriesMs } = this;
    return {
      ...{ tries, ...totals, lossBound, segments: this.reader.segments },
      recoveryMs: recoveriesMs.length === 0 ? null : Math.round(Math.max(...recoveriesMs)),
      ...(note === '' ? {} : { note }),
    };
  }
}

/** Statuses that loads saw, for notes and messages: `200 × 812, 503 × 40`. */
export function statusText(loads: readonly TrackedLoad[]): string {
  const sums = new Map<number, number>();
  for (const { ledger } of loads) {
    for (const [status, count] of ledger.statuses) sums.set(status, (sums.get(status) ?? 0) + count);
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status} × ${count}`)
    .join(', ');
}

/** Answers of one status that loads have seen. */
export function answered(status: number, ...loads: readonly TrackedLoad[]): number {
  return loads.reduce((sum, { ledger }) => sum + (ledger.statuses.get(status) ?? 0), 0);
}
