/** Clients that mean harm, or behave as if they did, beside one that does not. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/assertions.ts';
import { namesBody, uniqueName } from '../../support/bodies.ts';
import type { Owner } from '../../support/clean-up.ts';
import { Scrape } from '../../support/exposition.ts';
import { fetchOnce, RawConnection } from '../../support/raw-http.ts';
import { descriptorCount, residentBytes } from '../../support/server-process.ts';
import type { TrackedLoad } from '../../support/tracked-load.ts';
import type { FaultCase, Form } from './fault-case.ts';
import { answered, FaultRun, serveArgs, statusText, UNLIMITED } from './fault-run.ts';

const MIB = 1 << 20;
/** For what takes a second at most where nothing else runs. */
const WAIT_MS = 180_000;
const GOOD = { connections: 2, batchMax: 5, withBroken: false, pauseMs: 5 } as const;

function assertUnharmed(good: TrackedLoad): void {
  const { statuses, fates, samples } = good.ledger;
  const refusal = [...samples].find(([status]) => status !== 200)?.[1];
  assert.equal(refusal, undefined, `${statusText([good])}: ${refusal?.body}`);
  assert.ok(statuses.get(200)! >= 50, `only ${statuses.get(200)} good requests`);
  assert.ok([...fates.values()].every((fate) => fate === 'acknowledged'));
}

/** Connections opened at a time, so that the listening queue does not overflow. */
const AT_ONCE = 50;

async function openAll(owner: Owner, port: number, count: number): Promise<RawConnection[]> {
  const connections: RawConnection[] = [];
  owner.after(() => {
    for (const connection of connections) connection.close();
  });
  while (connections.length < count) {
    const some = Array.from({ length: Math.min(AT_ONCE, count - connections.length) }, () =>
      RawConnection.open(port),
    );
    connections.push(...(await Promise.all(some)));
  }
  return connections;
}

const DRIBBLERS = 1_000;
const STEP_MS = 500;
/** Our own timer is 8 s, that of uWebSockets.js 10 s with a clock of 4 s steps; the rest is for a busy machine. */
const CUT_MS = { least: 7_000, most: 25_000 };

interface Dribble {
  readonly head: string;
  readonly rest: string;
  readonly isBody: boolean;
}

/** The part that a slow client sends at once, and the part it sends byte by byte. */
const DRIBBLES: readonly ((body: string) => Dribble)[] = [
  (body) => ({
    head: `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length + 100}\r\n\r\n`,
    rest: body,
    isBody: true,
  }),
  (body) => ({
    head: 'POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    rest: Array.from(body, (byte) => `1\r\n${byte}\r\n`).join(''),
    isBody: true,
  }),
  () => ({
    head: 'POST /metrics HTTP/1.1\r\nHost: localhost\r\n',
    rest: `X: ${'a'.repeat(400)}`,
    isBody: false,
  }),
  () => ({ head: '', rest: '', isBody: false }),
];

/** Resolves with how long the server bore it. */
async function dribble(connection: RawConnection, { head, rest, isBody }: Dribble): Promise<number> {
  const startedAt = performance.now();
  const heardOrLate = () =>
    connection.closed || connection.unread.length > 0 || performance.now() - startedAt > CUT_MS.most;
  connection.write(head);
  for (const byte of rest) {
    if (heardOrLate()) break;
    connection.write(byte);
    await delay(STEP_MS);
  }
  const event = await connection.next(CUT_MS.most);
  const afterMs = performance.now() - startedAt;
  const status = event.kind === 'response' ? event.response.status : undefined;
  const closed = event.kind === 'closed' || (await connection.waitClosed(CUT_MS.most));
  connection.close();
  const text = `status ${status}, closed ${closed}, after ${Math.round(afterMs)} ms`;
  assert.ok(closed && afterMs >= CUT_MS.least && afterMs <= CUT_MS.most, text);
  assert.ok(isBody ? status === 408 : status === undefined || status === 408 || status === 400, text);
  return afterMs;
}

const dribbling: FaultCase = {
  name: 'dribbling clients',
  fault: `${DRIBBLERS} clients that send headers, bodies or chunks byte by byte, or nothing`,
  promise: 'cut after 8 to 12 s, nothing of theirs stored; a good client never fails',
  run: async (owner) => {
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'synced', UNLIMITED) });
    const good = run.startLoad(GOOD);
    const dribbles: Promise<number>[] = [];
    while (dribbles.length < DRIBBLERS) {
      for (const connection of await openAll(owner, run.server.port, AT_ONCE)) {
        // Its name is in no ledger: were it stored, the judge would call it foreign.
        const kind = DRIBBLES[dribbles.length % DRIBBLES.length]!;
        dribbles.push(dribble(connection, kind(namesBody(uniqueName('dribble')))));
      }
    }
    const cuts = await Promise.all(dribbles);
    run.tries = cuts.length;
    await eventually('the good client is served', () => answered(200, good) >= 50, WAIT_MS);
    await run.stopLoads();
    assertUnharmed(good);
    const [first, last] = [Math.min(...cuts), Math.max(...cuts)].map((ms) => (ms / 1_000).toFixed(1));
    return run.finish(`cut after ${first} to ${last} s; the good client: ${statusText([good])}`);
  },
};

const DEAF: Readonly<Record<Form, { readonly clients: number; readonly rounds: number }>> = {
  short: { clients: 100, rounds: 20 },
  long: { clients: 1_000, rounds: 60 },
};
/** Memory allowed beyond that of each connection: answers of 50 KB between threads and in send buffers. */
const DEAF_GROWTH_BYTES = 64 * MIB;
const DEAF_CONNECTION_BYTES = MIB / 4;
/** Requests in one write of a client that never reads. */
const DEAF_REQUESTS = 200;

const neverReading: FaultCase = {
  name: 'readers that never read',
  fault: 'clients that send requests on and on and never read an answer',
  promise: 'memory stays within 64 MiB and 256 KiB a connection; a good client never fails',
  run: async (owner, form) => {
    const { clients, rounds } = DEAF[form];
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'synced', UNLIMITED) });
    const good = run.startLoad(GOOD);
    await eventually('the good client is served', () => answered(200, good) >= 20, WAIT_MS);
    const before = residentBytes(run.server.pid);
    let grown = 0;
    const deaf = await openAll(owner, run.server.port, clients);
    for (const connection of deaf) connection.socket.pause();
    const burst = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(DEAF_REQUESTS);
    for (let round = 0; round < rounds; round++) {
      for (const [k, connection] of deaf.entries()) {
        if (connection.socket.destroyed) {
          deaf[k] = await RawConnection.open(run.server.port);
          deaf[k].socket.pause();
        }
        deaf[k]!.write(burst);
        run.tries += DEAF_REQUESTS;
      }
      await delay(50);
      grown = Math.max(grown, residentBytes(run.server.pid) - before);
    }
    for (const connection of deaf) connection.close();
    await eventually('the good client goes on', () => answered(200, good) >= 100, WAIT_MS);
    await run.stopLoads();
    assertUnharmed(good);
    assert.ok(grown < DEAF_GROWTH_BYTES + clients * DEAF_CONNECTION_BYTES, `grew by ${grown / MIB} MiB`);
    return run.finish(`${clients} clients; tries are requests sent; grew by ${Math.round(grown / MIB)} MiB`);
  },
};

const DESCRIPTORS = 256;
const SOCKETS = 400;

const descriptors: FaultCase = {
  name: 'descriptor limit',
  fault: `${SOCKETS} connections to a server with ${DESCRIPTORS} descriptors`,
  promise: 'those it has are served, files go on rotating; new ones again when descriptors are free',
  run: async (owner) => {
    const args = serveArgs(6, 'synced', UNLIMITED);
    const run = await FaultRun.start(owner, { args, descriptorLimit: DESCRIPTORS });
    const good = run.startLoad({ ...GOOD, pauseMs: 1, batchMax: 100 });
    await eventually('the good client is served', () => answered(200, good) >= 2, WAIT_MS);
    const sockets: RawConnection[] = [];
    owner.after(() => {
      for (const socket of sockets) socket.close();
    });
    for (; run.tries < SOCKETS; run.tries++) {
      // The kernel accepts what the server cannot, up to its backlog; a refusal is fine too.
      const opened = await RawConnection.open(run.server.port).catch(() => undefined);
      if (opened !== undefined) sockets.push(opened);
    }
    const { pid, port } = run.server;
    await eventually('no descriptors are left', () => descriptorCount(pid) >= DESCRIPTORS - 16, WAIT_MS);
    const before = answered(200, good);
    await eventually('the good client is served on', () => answered(200, good) >= before + 100, WAIT_MS);
    for (const socket of sockets) socket.close();
    const freedAt = performance.now();
    await eventually('descriptors are free', () => descriptorCount(pid) < DESCRIPTORS / 2, WAIT_MS);
    await run.storesAgain(freedAt);
    await run.stopLoads();
    assertUnharmed(good);
    const rotations = (await Scrape.of(port)).sum('metricsstream_segments_created_total');
    assert.ok(rotations >= 4, `${rotations} segments`);
    assert.equal((await fetchOnce(port, { path: '/health' })).status, 200);
    return run.finish();
  },
};

const STRANGERS: Readonly<Record<Form, { readonly ids: number; readonly limiterClients: number }>> = {
  short: { ids: 25_000, limiterClients: 256 },
  long: { ids: 1_000_000, limiterClients: 65_536 },
};
const ID_GROWTH_BYTES = 96 * MIB;
const ACTIVE_RATE = 10;
/** Refill of the bucket while requests are on their way, and the rounding of its clock. */
const ACTIVE_SLACK = 3;

const clientIds: FaultCase = {
  name: 'client ids',
  fault:
    'a client id of its own for each request (1,000,000 in the long form), `--client-id header:x-client`',
  promise: 'memory stays flat, idle clients are evicted, an active one keeps its bucket',
  run: async (owner, form) => {
    const { ids, limiterClients } = STRANGERS[form];
    const limits = ['--rate-limit', String(ACTIVE_RATE), '--rate-burst', String(ACTIVE_RATE)];
    const table = ['--client-id', 'header:x-client', '--limiter-clients', String(limiterClients)];
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'written', [...limits, ...table]) });
    const startedAt = performance.now();
    // Asks for many times what it may have, all the time.
    const active = run.startLoad({
      ...{ connections: 4, batchMax: 1, withBroken: false, pauseMs: 20, refusalPauseMs: 0 },
      headersOf: () => ({ 'X-Client': 'active' }),
    });
    const strangers = run.startLoad({
      ...{ connections: 48, batchMax: 1, withBroken: false, refusalPauseMs: 0 },
      headersOf: (connection, first) => ({ 'X-Client': `stranger-${connection}-${first}` }),
    });
    const sent = () => answered(200, strangers) + answered(429, strangers);
    await eventually('the table is full', () => sent() >= ids / 5, 360_000);
    const before = residentBytes(run.server.pid);
    await eventually('all ids were seen', () => sent() >= ids, 900_000);
    const grown = residentBytes(run.server.pid) - before;
    await run.stopLoads();
    const seconds = (performance.now() - startedAt) / 1_000;
    run.tries = sent();

    const allowed = answered(200, active);
    const most = ACTIVE_RATE * (seconds + 1) + ACTIVE_SLACK;
    assert.ok(allowed <= most, `${allowed} requests in ${seconds} s at ${ACTIVE_RATE}/s`);
    assert.ok(answered(429, active) > 0, `${statusText([active])}: never at its limit`);
    const scrape = await Scrape.of(run.server.port);
    const evictions = scrape.sum('metricsstream_limiter_evictions_total');
    assert.ok(evictions > ids / 10, `${evictions} evictions`);
    assert.ok(scrape.sum('metricsstream_limiter_clients') <= scrape.sum('metricsstream_limiter_capacity'));
    assert.ok(grown < ID_GROWTH_BYTES, `grew by ${grown / MIB} MiB`);
    return run.finish(
      `${evictions} evicted, grew by ${Math.round(grown / MIB)} MiB, the active client ${allowed} of ` +
        `${Math.floor(most)} allowed in ${Math.round(seconds)} s`,
    );
  },
};

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

function fnv1a(text: string, hash = FNV_OFFSET): number {
  let result = hash;
  for (let k = 0; k < text.length; k++) result = Math.imul(result ^ text.charCodeAt(k), FNV_PRIME);
  return result >>> 0;
}

/** Two texts of eight hexadecimal digits that take FNV-1a from one state to one other. */
function collidingBlocks(state: number): readonly [string, string] {
  const seen = new Map<number, string>();
  for (let k = 0; ; k++) {
    const text = (Math.imul(k, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0');
    const hash = fnv1a(text, state);
    const other = seen.get(hash);
    if (other !== undefined) return [other, text];
    seen.set(hash, text);
  }
}

/** 2^pairs texts of one FNV-1a hash: each block has two forms that end in the same state (Joux, 2004). */
function collidingIds(pairs: number): string[] {
  let ids = [''];
  let state = FNV_OFFSET;
  for (let pair = 0; pair < pairs; pair++) {
    const blocks = collidingBlocks(state);
    state = fnv1a(blocks[0], state);
    ids = ids.flatMap((id) => [id + blocks[0], id + blocks[1]]);
  }
  return ids;
}

const COLLIDING_PAIRS: Readonly<Record<Form, number>> = { short: 11, long: 14 };
const BURST = 2;

const collisions: FaultCase = {
  name: 'colliding ids',
  fault: 'client ids chosen to have one hash under FNV-1a',
  promise: 'each has its own bucket: none evicts, shares or uses up that of another',
  run: async (owner, form) => {
    const ids = collidingIds(COLLIDING_PAIRS[form]);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(new Set(ids.map((id) => fnv1a(id))).size, 1);
    // A token comes back after a thousand seconds: the third request of a client is refused, the first two never.
    const limits = ['--rate-limit', '0.001', '--rate-burst', String(BURST), '--client-id', 'header:x-client'];
    const run = await FaultRun.start(owner, { args: serveArgs(6, 'written', limits) });
    let next = 0;
    const asked = (BURST + 1) * ids.length;
    const load = run.startLoad({
      ...{ connections: 16, batchMax: 1, withBroken: false, refusalPauseMs: 0 },
      headersOf: () => ({ 'X-Client': ids[next++ % ids.length]! }),
    });
    const answers = () => answered(200, load) + answered(429, load);
    await eventually('all were asked', () => answers() >= asked, 360_000);
    await run.stopLoads();
    run.tries = ids.length;
    assert.equal(answered(200, load), BURST * ids.length, statusText([load]));
    const scrape = await Scrape.of(run.server.port);
    assert.equal(scrape.sum('metricsstream_limiter_evictions_total'), 0);
    assert.equal(scrape.sum('metricsstream_limiter_overflow_total'), 0);
    return run.finish(`${ids.length} ids, each let through ${BURST} times; ${statusText([load])}`);
  },
};

export const CLIENT_CASES: readonly FaultCase[] = [
  dribbling,
  neverReading,
  descriptors,
  clientIds,
  collisions,
];
