import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createPlan, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import {
  accepted,
  answer,
  type Respond,
  type ScriptedServer,
  startScriptedServer,
} from './scripted-server.ts';

const STALL_MS = 500;
/** A busy machine may send much later, but each request has to be sent. */
const PATIENT = { graceMs: 180_000, timeoutMs: 180_000 } as const;

interface Run {
  readonly result: LoadResult;
  readonly server: ScriptedServer;
}

async function load(context: TestContext, respond: Respond, plan: Partial<LoadPlan>): Promise<Run> {
  const server = await startScriptedServer(context, respond);
  return { result: await runLoad(createPlan({ port: server.port, ...plan })), server };
}

const isPost = (request: string): boolean => request.startsWith('POST ');

/** Accepts every POST at once. */
const accept: Respond = (socket, request) =>
  isPost(request) ? socket.write(accepted(bodyOf(request).metrics.length)) : socket.end(answer(404));

/** As `accept`, but the answer to one POST comes STALL_MS late. */
function stallAt(number: number): Respond {
  let posts = 0;
  return (socket, request, ...rest) => {
    if (!isPost(request) || ++posts !== number) return accept(socket, request, ...rest);
    setTimeout(accept, STALL_MS, socket, request, ...rest);
  };
}

interface SentMetric {
  readonly name: string;
  readonly tags: { readonly id: string };
}

function bodyOf(request: string): { readonly metrics: readonly SentMetric[] } {
  return JSON.parse(request.slice(request.indexOf('\r\n\r\n') + 4));
}

const postsTo = ({ requests }: ScriptedServer) => requests().filter(isPost).map(bodyOf);

describe('a stall of the server', { concurrency: 2 }, () => {
  it('counts for every request that was due meanwhile, at a constant rate', async (context) => {
    const { result } = await load(context, stallAt(50), {
      clients: 1,
      load: { kind: 'open', ratePerSecond: 200, durationMs: 1_500 },
      ...PATIENT,
    });
    assert.equal(result.intended, 300);
    assert.equal(result.sent, 300);
    assert.equal(result.apiLatency.count, 300);
    // A hundred requests, five milliseconds apart, were due in half a second: thirty of them waited 350 ms and more.
    assert.ok(result.apiLatency.p90Ms >= 345, `p90 ${result.apiLatency.p90Ms} ms`);
    assert.ok(result.apiLatency.maxMs >= STALL_MS * 0.99, `max ${result.apiLatency.maxMs} ms`);
    assert.ok(
      result.lateSends.waitedForConnection >= 95,
      `${result.lateSends.waitedForConnection} waited for the connection`,
    );
  });

  it('counts for the requests of the waiting client, at an interval', async (context) => {
    const { result } = await load(context, stallAt(20), {
      clients: 1,
      load: { kind: 'closed', requestsPerClient: 100, intervalMs: 10 },
    });
    assert.equal(result.sent, 100);
    assert.equal(result.apiLatency.count, 100);
    // Fifty were due; ten of them waited 400 ms and more.
    assert.ok(result.apiLatency.p90Ms >= 395, `p90 ${result.apiLatency.p90Ms} ms`);
    assert.ok(result.lateSends.waitedForConnection >= 45);
  });

  it('counts once if the next request waits for the answer', async (context) => {
    const { result } = await load(context, stallAt(20), {
      clients: 1,
      load: { kind: 'closed', requestsPerClient: 100, intervalMs: 0 },
    });
    assert.equal(result.sent, 100);
    assert.equal(result.lateSends.waitedForConnection, 0);
    assert.ok(result.apiLatency.maxMs >= STALL_MS * 0.99);
  });
});

describe('a request that is due', { concurrency: 4 }, () => {
  it('but never sent is reported', async (context) => {
    const { result } = await load(
      context,
      (socket, request) => (isPost(request) ? undefined : socket.end(answer(404))),
      { clients: 2, timeoutMs: 2_500, load: { kind: 'open', ratePerSecond: 100, durationMs: 500 } },
    );
    assert.equal(result.intended, 50);
    assert.equal(result.sent, 2);
    assert.equal(result.unsent, 48);
    assert.ok(result.unsentOldestWaitMs >= 400, `${result.unsentOldestWaitMs} ms`);
    assert.deepEqual(result.outcomes, { timeout: 2 });
    assert.match(result.warnings.join('\n'), /48 of 50 requests were never sent/);
  });

  it('is sent once, by some client of some thread, and each metric is unique', async (context) => {
    const { result, server } = await load(context, accept, {
      clients: 5,
      batch: 4,
      threads: 2,
      load: { kind: 'closed', requestsPerClient: 6, intervalMs: 5 },
    });
    assert.equal(result.generator.threads, 2);
    assert.equal(result.sent, 30);
    assert.equal(result.acceptedMetrics, 120);
    const posts = postsTo(server);
    assert.equal(posts.length, 30);
    assert.equal(new Set(posts.map(({ metrics }) => metrics[0]?.tags.id)).size, 30);
    assert.equal(
      new Set(posts.flatMap(({ metrics }) => metrics.map((one) => JSON.stringify(one)))).size,
      120,
    );
    for (const { metrics } of posts) {
      for (const { tags } of metrics) assert.ok(tags.id.startsWith(result.runId), tags.id);
    }
  });

  it('at a constant rate goes to every connection in turn', async (context) => {
    const { server, result } = await load(context, accept, {
      clients: 4,
      headers: { 'X-Client': 'number {client}' },
      load: { kind: 'open', ratePerSecond: 200, durationMs: 400 },
      ...PATIENT,
    });
    assert.equal(result.sent, 80);
    const clients = server
      .requests()
      .filter(isPost)
      .map((request) => /^x-client: (.*)$/im.exec(request)?.[1]);
    for (let client = 0; client < 4; client++) {
      assert.ok(clients.filter((name) => name === `number ${client}`).length >= 10, `client ${client}`);
    }
  });

  it('in the warm-up is sent and not counted', async (context) => {
    const { server, result } = await load(context, accept, {
      clients: 2,
      warmUpMs: 200,
      load: { kind: 'closed', requestsPerClient: 10, intervalMs: 20 },
    });
    assert.equal(result.sent, 20);
    assert.equal(result.apiLatency.count, 20);
    assert.equal(postsTo(server).length, 40);
    assert.equal(result.check.accepted, 40);
  });

  it('has the same names and values for the same seed, and another id', async (context) => {
    const plan = {
      clients: 1,
      batch: 3,
      load: { kind: 'closed', requestsPerClient: 1, intervalMs: 0 },
    } as const;
    const withoutIds = async (seed: number) => {
      const { server } = await load(context, accept, { ...plan, seed });
      return postsTo(server).flatMap(({ metrics }) =>
        metrics.map(({ tags, ...rest }) => JSON.stringify({ ...rest, host: { ...tags, id: '' } })),
      );
    };
    const [first, second, other] = [await withoutIds(7), await withoutIds(7), await withoutIds(8)];
    assert.deepEqual(first, second);
    assert.notDeepEqual(first, other);
  });
});

describe('a load', { concurrency: 4 }, () => {
  it('that is stopped early reports its measurements', async (context) => {
    const controller = new AbortController();
    const server = await startScriptedServer(context, (socket, request, count, stop) => {
      if (count === 20) controller.abort();
      accept(socket, request, count, stop);
    });
    const plan = createPlan({
      port: server.port,
      clients: 2,
      load: { kind: 'closed', intervalMs: 10, durationMs: 60_000 },
    });
    const result = await runLoad(plan, { signal: controller.signal });
    assert.equal(result.interrupted, true);
    assert.ok(result.sent >= 18 && result.sent < 6_000, `${result.sent} sent`);
    assert.equal(result.succeeded, result.sent);
  });

  it('reports its progress while it runs', async (context) => {
    const server = await startScriptedServer(context, accept);
    const seen: number[] = [];
    await runLoad(
      createPlan({
        port: server.port,
        clients: 2,
        load: { kind: 'open', ratePerSecond: 100, durationMs: 2_500 },
      }),
      { onProgress: ({ sent }) => seen.push(sent) },
    );
    assert.ok(
      seen.some((sent) => sent > 0 && sent < 250),
      seen.join(', '),
    );
  });

  it('without a server reports that', async (context) => {
    const server = await startScriptedServer(context, accept);
    server.close();
    await assert.rejects(runLoad(createPlan({ port: server.port })), /nothing listens on 127\.0\.0\.1/);
  });

  for (const [what, plan, message] of [
    ['no end', { load: { kind: 'closed', intervalMs: 10 } }, /requests for each client, a duration, or both/],
    ['no clients', { clients: 0 }, /clients 0: give a whole number from 1/],
    ['half a metric', { batch: 0.5 }, /batch 0\.5/],
    ['a rate of nothing', { load: { kind: 'open', ratePerSecond: 0, durationMs: 1_000 } }, /rate 0/],
    ['a header with a line end', { headers: { 'X-A': 'b\r\nc: d' } }, /header X-A/],
  ] as const) {
    it(`with ${what} is refused`, () => {
      assert.throws(() => createPlan(plan), message);
    });
  }
});

describe('retries', { concurrency: 4 }, () => {
  const keyOf = (request: string): string => /^idempotency-key: (.*)$/im.exec(request)?.[1] ?? '';
  const keysOf = ({ requests }: ScriptedServer): string[] => requests().filter(isPost).map(keyOf);
  const once = { clients: 1, load: { kind: 'closed', requestsPerClient: 1, intervalMs: 0 } } as const;

  /** Does something else than accept with the first POSTs. */
  function fails(times: number, fail: Respond): Respond {
    let posts = 0;
    return (socket, request, ...rest) =>
      isPost(request) && ++posts <= times ? fail(socket, request, ...rest) : accept(socket, request, ...rest);
  }

  for (const [name, fail] of [
    ['503', (socket) => socket.write(answer(503))],
    ['409', (socket) => socket.write(answer(409))],
    ['504', (socket) => socket.write(answer(504))],
    ['a reset', (socket) => socket.destroy()],
  ] as const satisfies readonly (readonly [string, Respond])[]) {
    it(`repeat a request after ${name}, unchanged, and count it once`, async (context) => {
      const { result, server } = await load(context, fails(2, fail), { ...once, retries: 2 });
      assert.deepEqual(result.outcomes, { 200: 1 });
      assert.equal(result.sent, 1);
      assert.equal(result.retries, 2);
      const posts = server.requests().filter(isPost);
      assert.equal(posts.length, 3);
      assert.equal(new Set(posts).size, 1);
      assert.match(keyOf(posts[0]!), /^"\w{8}-\d{9}"\r?$/);
    });
  }

  it('give each request a key of its own, and count answers that repeat an earlier one', async (context) => {
    const replay: Respond = (socket, request) =>
      isPost(request)
        ? socket.write(answer(200, '{"accepted":1,"rejected":0}', ['Idempotency-Replayed: true']))
        : socket.end(answer(404));
    const plan = { clients: 2, load: { kind: 'closed', requestsPerClient: 5, intervalMs: 0 } } as const;
    const { result, server } = await load(context, replay, { ...plan, retries: 1 });
    assert.equal(new Set(keysOf(server)).size, 10);
    assert.deepEqual([result.retries, result.replays], [0, 10]);
  });

  it('end after their number; a request that may be stored stays unknown whatever came last', async (context) => {
    let posts = 0;
    const doubtful: Respond = (socket, request) => {
      if (!isPost(request)) socket.end(answer(404));
      else if (++posts === 1) socket.destroy();
      else socket.write(answer(503));
    };
    const { result } = await load(context, doubtful, { ...once, retries: 2 });
    assert.equal(posts, 3);
    assert.deepEqual(result.outcomes, { reset: 1 });
    assert.equal(result.check.unknown, 1);
  });

  it('leave refusals of the request itself alone, and without retries no request has a key', async (context) => {
    const refuse: Respond = (socket, request) => socket.write(answer(isPost(request) ? 422 : 404));
    const { result } = await load(context, refuse, { ...once, retries: 5 });
    assert.deepEqual(result.outcomes, { 422: 1 });
    assert.equal(result.retries, 0);
    const { server } = await load(context, accept, once);
    assert.deepEqual(keysOf(server), ['']);
  });

  it('wait as long as Retry-After asks', async (context) => {
    const later: Respond = (socket) => socket.write(answer(503, '', ['Retry-After: 1']));
    const { result } = await load(context, fails(1, later), { ...once, retries: 1 });
    assert.ok(result.apiLatency.maxMs >= 990, `${result.apiLatency.maxMs} ms`);
  });
});
