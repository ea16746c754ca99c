/** The nginx and HAProxy configurations of docs/behind-a-proxy.md, in front of a real server. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { PROXIES, skipReason, startProxy } from '../support/proxies.ts';
import { fetchOnce, post, postRequest, RawConnection, requestBytes } from '../support/raw-http.ts';
import { type ServerProcess, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const CLIENTS_ARGS = ['--workers', '2', '--client-id', 'forwarded', '--trusted-proxies', '127.0.0.1'];

interface Form {
  readonly what: string;
  readonly bytes: (name: string) => string;
  /** The client closes its sending side with the request. */
  readonly finish?: boolean;
  /** Statuses directly and through each proxy; 0 for a close without an answer. */
  readonly direct: readonly number[];
  readonly nginx: readonly number[];
  readonly haproxy: readonly number[];
}

const HEAD = 'Host: localhost\r\nContent-Type: application/json\r\n';

function plain(name: string, { version = 'HTTP/1.1', target = '/metrics', lines = '' } = {}): string {
  const body = namesBody(name);
  return `POST ${target} ${version}\r\n${HEAD}${lines}Content-Length: ${body.length}\r\n\r\n${body}`;
}

function chunked(name: string, { extension = '', last = '', trailer = '' } = {}): string {
  const body = namesBody(name);
  const size = body.length.toString(16);
  return `POST /metrics HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n${size}${extension}\r\n${body}\r\n0${last}\r\n${trailer}\r\n`;
}

const lines = (count: number): string => Array.from({ length: count }, (_, k) => `X-${k}: a\r\n`).join('');

/** The table of the document, and forms that work everywhere. */
const FORMS: readonly Form[] = [
  { what: 'an ordinary request', bytes: (n) => plain(n), direct: [200], nginx: [200], haproxy: [200] },
  { what: 'a chunked body', bytes: (n) => chunked(n), direct: [200], nginx: [200], haproxy: [200] },
  {
    what: '90 header lines',
    bytes: (n) => plain(n, { lines: lines(87) }),
    direct: [200],
    nginx: [200],
    haproxy: [200],
  },
  {
    what: '120 header lines',
    bytes: (n) => plain(n, { lines: lines(117) }),
    direct: [431],
    nginx: [431],
    haproxy: [400],
  },
  {
    what: 'HTTP/1.0',
    bytes: (n) => plain(n, { version: 'HTTP/1.0' }),
    direct: [505],
    nginx: [200],
    haproxy: [505],
  },
  {
    what: 'an absolute-form target',
    bytes: (n) => plain(n, { target: 'http://localhost/metrics' }),
    direct: [505],
    nginx: [200],
    haproxy: [200],
  },
  { what: 'an empty line first', bytes: (n) => `\r\n${plain(n)}`, direct: [0], nginx: [200], haproxy: [200] },
  {
    what: 'a chunk extension',
    bytes: (n) => chunked(n, { extension: ';a=b' }),
    direct: [0, 400, 408],
    nginx: [200],
    haproxy: [200],
  },
  {
    what: 'an extension of the last chunk',
    bytes: (n) => chunked(n, { last: ';a=b' }),
    direct: [0, 400, 408],
    nginx: [200],
    haproxy: [200],
  },
  {
    what: 'a chunk size with @',
    bytes: (n) => chunked(n, { extension: '@' }),
    direct: [0, 400, 408],
    nginx: [400],
    haproxy: [400],
  },
  {
    what: 'a trailer field',
    bytes: (n) => chunked(n, { trailer: 'X-Sum: 1\r\n' }),
    direct: [0, 505],
    nginx: [200],
    haproxy: [0, 505],
  },
  {
    what: 'a half close with the request',
    bytes: (n) => plain(n),
    finish: true,
    direct: [0, 200],
    nginx: [200],
    haproxy: [200],
  },
];

async function statusOf(port: number, { bytes, finish }: Form, name: string): Promise<number> {
  const connection = await RawConnection.open(port);
  connection.write(Buffer.from(bytes(name), 'latin1'));
  if (finish === true) connection.finish();
  const event = await connection.next(180_000);
  connection.close();
  assert.notEqual(event.kind, 'silent');
  return event.kind === 'response' ? event.response.status : 0;
}

describe('the forms of requests in docs/behind-a-proxy.md', async () => {
  const server = await startServer({ after }, { args: [...CLIENTS_ARGS, '--body-timeout-ms', '2s'] });
  for (const way of ['direct', ...PROXIES] as const) {
    describe(way === 'direct' ? way : `through ${way}`, { skip: way !== 'direct' && skipReason(way) }, () => {
      it('get the answers that the table gives, and a stored request is stored once', async (t) => {
        const port = way === 'direct' ? server.port : await startProxy(t, way, server.port);
        const outcomes = await Promise.all(
          FORMS.map(async (form) => {
            const name = uniqueName('form');
            return { form, name, status: await statusOf(port, form, name) };
          }),
        );
        const counts = countNames(readStored(server.dataDir));
        for (const { form, name, status } of outcomes) {
          await t.test(form.what, () => {
            assert.ok(form[way].includes(status), `${status}`);
            const stored = counts.get(name) ?? 0;
            // 505 and a close come from the HTTP library, which may have passed the body on before.
            if ([0, 505].includes(status)) assert.ok(stored <= 1);
            else assert.equal(stored, status === 200 ? 1 : 0);
          });
        }
      });
    });
  }
});

/** Posts from a loopback address of its own, as another machine would. */
function postFrom(address: string, port: number, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    let received = '';
    socket.on('error', reject);
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
      const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(received) ?? [];
      if (status === undefined) return;
      socket.destroy();
      resolve(Number(status));
    });
    socket.on('close', () => reject(new Error(`no response: ${received}`)));
    socket.write(requestBytes(postRequest(namesBody(uniqueName('from')), { headers })));
  });
}

for (const proxy of PROXIES) {
  describe(`${proxy} in front of a server`, { skip: skipReason(proxy) }, () => {
    it('reports clients, each of which has its own limit, whatever headers it sends', async (t) => {
      const limits = ['--rate-limit', '0.001', '--rate-burst', '2'];
      const server = await startServer(t, { args: [...CLIENTS_ARGS, ...limits] });
      const port = await startProxy(t, proxy, server.port);
      const spoofed = (k: number) => ({
        'X-Forwarded-For': `192.0.2.${k}`,
        Forwarded: `for=198.51.100.${k}`,
      });
      for (const address of ['127.0.0.2', '127.0.0.3']) {
        const statuses: number[] = [];
        for (let k = 0; k < 4; k++) statuses.push(await postFrom(address, port, spoofed(k)));
        assert.deepEqual(statuses, [200, 200, 429, 429], address);
      }
      // Not through the proxy: the address of the connection counts, not the headers.
      for (let k = 0; k < 2; k++) assert.equal(await postFrom('127.0.0.4', server.port, spoofed(k)), 200);
      assert.equal(await postFrom('127.0.0.4', server.port, spoofed(9)), 429);
    });

    it('passes the event stream on, message by message', async (t) => {
      const server = await startServer(t, { args: CLIENTS_ARGS });
      const port = await startProxy(t, proxy, server.port);
      const connection = await RawConnection.open(port);
      connection.send({ path: '/live', headers: { 'Accept-Encoding': 'gzip' } });
      const text = () => connection.unread.toString('latin1');
      const messages = () => text().split('\ndata:').length - 1;
      await eventually('three messages have come', () => messages() >= 3, 180_000);
      assert.match(text(), /^HTTP\/1\.1 200 /);
      assert.match(text(), /\r\ncontent-type: text\/event-stream/i);
      assert.doesNotMatch(text(), /content-encoding/i);
      connection.close();
    });

    it('passes requests and answers on', async (t) => {
      const server = await startServer(t, { args: CLIENTS_ARGS });
      const port = await startProxy(t, proxy, server.port);
      for (let k = 0; k < 20; k++) assertAccepted(await post(port, namesBody(uniqueName('kept'))), 1);
      assert.equal((await fetchOnce(port, { path: '/ready' })).status, 200);
      assertProblem(await fetchOnce(port, { path: '/nowhere' }), 404);
    });

    it('answers for a server that is gone, and serves again when it is back', async (t) => {
      const serverPort = String(await freePort());
      const start = (): Promise<ServerProcess> =>
        startServer(t, { args: [...CLIENTS_ARGS, '--port', serverPort] });
      const first = await start();
      const port = await startProxy(t, proxy, first.port);
      assertAccepted(await post(port, namesBody(uniqueName('before'))), 1);
      await first.stop();
      const gone = await post(port, namesBody(uniqueName('gone')));
      assert.ok([502, 503].includes(gone.status), String(gone.status));
      const second = await start();
      const name = uniqueName('back');
      await eventually(
        'it serves again',
        async () => (await post(port, namesBody(name))).status === 200,
        30_000,
      );
      assert.equal(countNames(readStored(second.dataDir)).get(name), 1);
    });
  });
}

describe('HAProxy', { skip: skipReason('haproxy') }, () => {
  it('takes a server out whose /ready says that it cannot store, and no other', async (t) => {
    const good = await startServer(t, { args: CLIENTS_ARGS });
    const goodPort = await startProxy(t, 'haproxy', good.port);
    const full = await startServer(t, {
      args: [...CLIENTS_ARGS, '--min-free-bytes', '1048576g'],
      awaitReady: false,
    });
    const fullPort = await startProxy(t, 'haproxy', full.port);
    const health = async (port: number) => (await fetchOnce(port, { path: '/health' })).status;
    await eventually('one is out', async () => (await health(fullPort)) === 503, 180_000);
    assert.equal(await health(full.port), 200);
    assert.equal(await health(goodPort), 200);
  });
});
