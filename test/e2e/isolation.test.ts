/** One client must not take another's share of a worker: decompression and memory for bodies, over real sockets. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { Scrape } from '../support/exposition.ts';
import { type HttpResponse, type PostOptions, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, type ServerProcess, startServer } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';

const MAX_BODY_BYTES = 8 << 20;
/** Answers do not wait for the disk, and a slow one does not open the breaker: these tests are about neither. */
const ARGS = [
  '--workers',
  '1',
  '--client-id',
  'header:x-client',
  '--ack',
  'received',
  '--sync-timeout-ms',
  '10m',
];
const ACCEPTED = 202;

/** One valid metric and white space up to the largest body: a few KiB that cost as much as any body can. */
function bomb(): Buffer {
  const metric = '{"name":"bomb","value":1}';
  const frame = '{"metrics":[]}'.length;
  return gzipSync(`{"metrics":[${metric}${' '.repeat(MAX_BODY_BYTES - frame - metric.length)}]}`);
}

const BOMB = bomb();

function gzipOptions(client: string): PostOptions {
  return { headers: { 'X-Client': client, 'Content-Encoding': 'gzip' }, timeoutMs: 180_000 };
}

/** Many connections of one client that each post a bomb at once. */
class Flood {
  readonly answers: HttpResponse[] = [];
  readonly size: number;
  readonly done: Promise<void>;

  private constructor(connections: readonly RawConnection[]) {
    this.size = connections.length;
    this.done = Promise.all(
      connections.map(async (connection) => {
        this.answers.push(await connection.request(postRequest(BOMB, gzipOptions('hostile'))));
        connection.close();
      }),
    ).then(() => {});
  }

  static async start(server: ServerProcess, size: number): Promise<Flood> {
    return new Flood(await Promise.all(Array.from({ length: size }, () => RawConnection.open(server.port))));
  }

  count(status: number): number {
    return this.answers.filter((answer) => answer.status === status).length;
  }
}

async function postGzip(server: ServerProcess, client: string, body: string): Promise<HttpResponse> {
  const connection = await RawConnection.open(server.port);
  try {
    return await connection.request(postRequest(gzipSync(body), gzipOptions(client)));
  } finally {
    connection.close();
  }
}

const gauge = async (server: ServerProcess, name: string): Promise<number> =>
  (await Scrape.of(server.port)).sum(`metricsstream_${name}`);

async function waitForBombs(server: ServerProcess, waiting: number): Promise<void> {
  await eventually(
    `${waiting} bombs wait`,
    async () => (await gauge(server, 'decompression_queue_depth')) >= waiting,
    20_000,
  );
}

describe('decompression', () => {
  it("serves a client's small body before the bombs that another client queued earlier", async (t) => {
    // In effect no deadline: how long a bomb takes is the machine's business.
    const server = await startServer(t, { args: [...ARGS, '--request-timeout-ms', '10m'] });
    const flood = await Flood.start(server, 120);
    await waitForBombs(server, 60);
    const name = uniqueName('victim');
    const response = await postGzip(server, 'well-behaved', namesBody(name));
    const answeredBefore = flood.answers.length;
    assert.equal(response.status, ACCEPTED);
    // First come, first served would have answered nearly all of them before.
    assert.ok(answeredBefore < 100, `${answeredBefore} of ${flood.size} bombs were answered first`);
    await flood.done;
    assert.equal(flood.count(ACCEPTED), flood.size);
    assert.equal(await gauge(server, 'decompression_queue_depth'), 0);
    assert.equal(await gauge(server, 'inflight_body_bytes'), 0);
    assert.equal((await server.stop()).code, 0);
    assert.ok(readStored(server.dataDir).some((metric) => metric.name === name));
  });

  it('charges the client before it decompresses, once a request', async (t) => {
    const server = await startServer(t, { args: [...ARGS, '--rate-limit', '1', '--rate-burst', '4'] });
    const flood = await Flood.start(server, 40);
    await flood.done;
    // The bucket refills by one token a second while this runs.
    const statuses = flood.answers.map(({ status }) => status).join(' ');
    assert.ok(flood.count(ACCEPTED) >= 4, statuses);
    assert.ok(flood.count(429) > 0, statuses);
    assert.equal(flood.count(ACCEPTED) + flood.count(429), flood.size);
    for (const answer of flood.answers) {
      if (answer.status === 429) assertRetryAfter(answer);
    }
    const scrape = await Scrape.of(server.port);
    assert.equal(scrape.sum('metricsstream_decoded_bytes_total'), flood.count(ACCEPTED) * MAX_BODY_BYTES);
    assert.equal(scrape.sum('metricsstream_limited_requests_total'), flood.count(429));
    const first = await postGzip(server, 'another', namesBody(uniqueName('m')));
    assert.match(first.header('ratelimit') ?? '', /^"requests";r=3;/);
  });

  it('drops bodies of the client that fills its queue, and accepts those of another', async (t) => {
    const args = [...ARGS, '--decompression-queue', '8', '--request-timeout-ms', '10m'];
    const server = await startServer(t, { args });
    const flood = await Flood.start(server, 60);
    await eventually('the queue is full', () => flood.count(503) > 0);
    assert.equal((await postGzip(server, 'well-behaved', namesBody(uniqueName('m')))).status, ACCEPTED);
    await flood.done;
    assert.ok(flood.count(503) > 0);
    assert.equal(flood.count(ACCEPTED) + flood.count(503), flood.size);
    for (const answer of flood.answers) {
      if (answer.status !== 503) continue;
      assert.equal(assertProblem(answer, 503).reason, 'decompression_full');
      assertRetryAfter(answer);
    }
    assert.equal((await server.stop()).code, 0);
    const bombs = readStored(server.dataDir).filter(({ name }) => name === 'bomb');
    assert.equal(bombs.length, flood.count(ACCEPTED));
  });

  it('drops a body that waits for longer than the request timeout', async (t) => {
    const server = await startServer(t, {
      args: [...ARGS, '--request-timeout-ms', '100ms'],
      dataDir: memoryDirectory(t),
    });
    const flood = await Flood.start(server, 200);
    await flood.done;
    assert.ok(flood.count(503) > 0, 'all bombs were served in time');
    for (const answer of flood.answers) {
      if (answer.status === 503) assert.equal(assertProblem(answer, 503).reason, 'decompression_full');
    }
    assert.equal(await gauge(server, 'decompression_queue_depth'), 0);
  });

  it('answers bodies that wait or are being decompressed at the end of a drain with 503', async (t) => {
    const args = [...ARGS, '--drain-timeout-ms', '100ms', '--request-timeout-ms', '10m'];
    const server = await startServer(t, { args, dataDir: memoryDirectory(t) });
    const connections = await Promise.all(Array.from({ length: 60 }, () => RawConnection.open(server.port)));
    for (const connection of connections) connection.send(postRequest(BOMB, gzipOptions('hostile')));
    await waitForBombs(server, 30);
    const { code } = await server.stop();
    assert.equal(code, 0);
    const events = await Promise.all(connections.map((connection) => connection.next(60_000)));
    const statuses = events.map((event) => (event.kind === 'response' ? event.response.status : 0));
    assert.ok(statuses.filter((status) => status === 503).length > 0);
    const others = statuses.filter((status) => status !== 503 && status !== ACCEPTED);
    assert.deepEqual(others, [], 'not answered');
    assert.equal(
      readStored(server.dataDir).length,
      statuses.filter((status) => status === ACCEPTED).length,
      'stored what was acknowledged, nothing else',
    );
  });

  it('forgets bodies whose client has gone', async (t) => {
    const server = await startServer(t, { args: [...ARGS, '--request-timeout-ms', '60s'] });
    const connections = await Promise.all(Array.from({ length: 100 }, () => RawConnection.open(server.port)));
    for (const connection of connections) connection.send(postRequest(BOMB, gzipOptions('hostile')));
    await waitForBombs(server, 50);
    for (const connection of connections) connection.close();
    await eventually('nothing waits', async () => {
      const scrape = await Scrape.of(server.port);
      return (
        scrape.sum('metricsstream_inflight_body_bytes') === 0 &&
        scrape.sum('metricsstream_decompression_queue_depth') === 0
      );
    });
  });
});

describe('memory for bodies', () => {
  const headOf = (client: string, bytes: number): string =>
    `POST /metrics HTTP/1.1\r\nHost: x\r\nX-Client: ${client}\r\nContent-Length: ${bytes}\r\n\r\n`;

  /** Bodies of 5 MiB that hold `heldBytes` each, and never end. */
  async function holders(server: ServerProcess, count: number, heldBytes: number): Promise<RawConnection[]> {
    const opened = await Promise.all(Array.from({ length: count }, () => RawConnection.open(server.port)));
    for (const connection of opened) {
      await connection.writeParts([headOf('hostile', 5 << 20), Buffer.alloc(heldBytes, ' ')]);
    }
    await eventually(
      'the bodies are held',
      async () => (await gauge(server, 'inflight_body_bytes')) === count * heldBytes,
      20_000,
    );
    return opened;
  }

  for (const [victimIs, count, bodyBytes] of [
    ['that holds little when another holds it all', 4, 100_000],
    ['until it holds as much as the other', 3, 7 << 20],
  ] as const) {
    it(`goes to a client ${victimIs}`, async (t) => {
      const server = await startServer(t, { args: [...ARGS, '--inflight-body-bytes', '16m'] });
      const hostile = await holders(server, count, 4 << 20);
      const body = namesBody(uniqueName('m')).padEnd(bodyBytes);
      const victim = await RawConnection.open(server.port);
      t.after(() => victim.close());
      await victim.writeParts([headOf('well-behaved', body.length), body.slice(0, bodyBytes / 2)], 50);
      await victim.writeParts([body.slice(bodyBytes / 2)]);
      assert.equal((await victim.read()).status, ACCEPTED);
      const refused = await Promise.race(hostile.map((connection) => connection.read()));
      assert.equal(assertProblem(refused, 503).reason, 'body_bytes_full');
      for (const connection of hostile) connection.close();
    });
  }
});
