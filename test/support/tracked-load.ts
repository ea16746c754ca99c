/**
 * Load in which every metric has a unique name, and a ledger of the server's responses. The ledger is the client's half
 * of the proof: nothing acknowledged is lost, nothing refused is stored, nothing is stored twice.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { bodyOf } from './bodies.ts';
import { type HttpResponse, postRequest, RawConnection } from './raw-http.ts';

type Fate = 'acknowledged' | 'refused' | 'unknown';

export interface LoadOptions {
  /** Names are `<prefix>.<connection>.<number>`. */
  readonly prefix: string;
  readonly connections: number;
  /** Most metrics in a request. */
  readonly batchMax: number;
  /** Also send requests that the server must refuse: malformed, strict, partly invalid. */
  readonly withBroken?: boolean;
  /** Headers of a request, by its connection and the number of its first metric. */
  readonly headersOf?: (connection: number, first: number) => Readonly<Record<string, string>>;
  /** Bytes added to each metric, to fill disks sooner. */
  readonly paddingBytes?: number;
  /** Pause after each refusal, so that clients do not retry in a tight loop. */
  readonly refusalPauseMs?: number;
  /** Pause before each request, for a client that adds no load. */
  readonly pauseMs?: number;
}

/** Differences between the files and a ledger, by name. */
interface Discrepancies {
  /** Acknowledged and not stored. */
  readonly lost: readonly string[];
  readonly refusedStored: readonly string[];
  readonly twice: readonly string[];
  /** Stored and never sent. */
  readonly foreign: readonly string[];
}

/** Responses by status, and names by fate. */
class Ledger {
  readonly fates = new Map<string, Fate>();
  readonly statuses = new Map<number, number>();
  /** The last response of each status. */
  readonly samples = new Map<number, HttpResponse>();
  /** Metrics acknowledged so far. */
  acknowledged = 0;

  record(names: readonly string[], fate: Fate): void {
    if (fate === 'acknowledged') this.acknowledged += names.length;
    for (const name of names) this.fates.set(name, fate);
  }

  seen(response: HttpResponse): void {
    this.statuses.set(response.status, (this.statuses.get(response.status) ?? 0) + 1);
    this.samples.set(response.status, response);
  }

  count(fate: Fate): number {
    let count = 0;
    for (const value of this.fates.values()) if (value === fate) count += 1;
    return count;
  }

  /** Compares with the stored names (name → count). Names with another prefix belong to another ledger. */
  compare(stored: ReadonlyMap<string, number>, prefix: string): Discrepancies & { unknownStored: number } {
    const lost: string[] = [];
    const refusedStored: string[] = [];
    const twice: string[] = [];
    let unknownStored = 0;
    for (const [name, fate] of this.fates) {
      const count = stored.get(name) ?? 0;
      if (count > 1) twice.push(name);
      if (fate === 'acknowledged' && count === 0) lost.push(name);
      if (fate === 'refused' && count > 0) refusedStored.push(name);
      if (fate === 'unknown' && count > 0) unknownStored += 1;
    }
    const foreign = [...stored.keys()].filter((name) => name.startsWith(prefix) && !this.fates.has(name));
    return { lost, refusedStored, twice, foreign, unknownStored };
  }

  /** Asserts that nothing is lost or stored wrongly. Returns how many unknown metrics were stored after all. */
  check(stored: ReadonlyMap<string, number>, prefix: string): { unknownStored: number } {
    const { unknownStored, ...broken } = this.compare(stored, prefix);
    const summary = Object.fromEntries(
      Object.entries(broken).map(([what, names]) => [
        what,
        { count: names.length, first: names.slice(0, 3) },
      ]),
    );
    const none = { count: 0, first: [] };
    assert.deepEqual(summary, { lost: none, refusedStored: none, twice: none, foreign: none });
    return { unknownStored };
  }
}

interface Request {
  readonly body: string;
  readonly headers: Record<string, string>;
  readonly valid: readonly string[];
  readonly invalid: readonly string[];
}

/** The next request of a connection: mostly valid, sometimes one that must be refused in whole or in part. */
function makeRequest(options: LoadOptions, connection: number, first: number): Request {
  const count = 1 + (first % options.batchMax);
  const names = Array.from({ length: count }, (_, k) => `${options.prefix}.${connection}.${first + k}`);
  const padding = options.paddingBytes ? { tags: { padding: 'p'.repeat(options.paddingBytes) } } : {};
  const metrics = names.map((name, k) => ({ name, value: first + k, ...padding }));
  const kind = options.withBroken === true ? first % 17 : 0;
  const headers: Record<string, string> = { ...options.headersOf?.(connection, first) };
  if (kind === 1) return { body: bodyOf(metrics).slice(0, -1), headers, valid: [], invalid: names };
  const bad = `${options.prefix}.${connection}.bad.${first}`;
  if (kind === 2 || kind === 3) {
    const body = bodyOf([...metrics, { name: bad, value: 'none' }]);
    if (kind === 2) return { body, headers, valid: names, invalid: [bad] };
    return { body, headers: { ...headers, Prefer: 'handling=strict' }, valid: [], invalid: [...names, bad] };
  }
  return { body: bodyOf(metrics), headers, valid: names, invalid: [] };
}

/** Runs until `stop` resolves or the server has gone; resolves when every connection has finished. */
export class TrackedLoad {
  readonly ledger = new Ledger();
  readonly done: Promise<void>;
  private stopping = false;
  private readonly options: LoadOptions;

  constructor(port: number, options: LoadOptions) {
    this.options = options;
    this.done = Promise.all(
      Array.from({ length: options.connections }, (_, connection) => this.run(port, connection)),
    ).then(() => {});
  }

  /** Each connection finishes its pending request first. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.done;
  }

  private async run(port: number, index: number): Promise<void> {
    let next = 0;
    while (!this.stopping) {
      let connection: RawConnection;
      try {
        connection = await RawConnection.open(port);
      } catch {
        return;
      }
      try {
        while (!this.stopping && !connection.closed) {
          if (this.options.pauseMs !== undefined) await delay(this.options.pauseMs);
          const request = makeRequest(this.options, index, next);
          next += request.valid.length + request.invalid.length;
          const response = await this.exchange(connection, request);
          if (response.header('connection') === 'close') break;
        }
      } catch {
        // The connection has gone. The next attempt to connect shows whether the server has, too.
      } finally {
        connection.close();
      }
    }
  }

  private async exchange(connection: RawConnection, request: Request): Promise<HttpResponse> {
    const { ledger } = this;
    ledger.record(request.invalid, 'refused');
    ledger.record(request.valid, 'unknown');
    const response = await connection.request(postRequest(request.body, { headers: request.headers }));
    ledger.seen(response);
    if (response.status === 200 || response.status === 202) ledger.record(request.valid, 'acknowledged');
    else if (response.status !== 504) {
      ledger.record(request.valid, 'refused');
      const pauseMs = this.options.refusalPauseMs;
      if (pauseMs !== undefined && response.status !== 400) await delay(pauseMs);
    }
    return response;
  }
}
