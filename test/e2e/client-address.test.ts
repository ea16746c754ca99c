/** The address that a client's limits apply to, while connections from several addresses come and go. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { makeCertificate } from '../support/certificates.ts';
import { CLOSED_WITHIN_MS, postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const BURST = 1_000;
const REQUESTS = 3;
const LIMITS = ['--workers', '1', '--rate-limit', '0.001', '--rate-burst', String(BURST)];
const [A, B, C] = ['127.0.0.2', '127.0.0.3', '127.0.0.4'] as const;

type Open = (localAddress: string) => Promise<RawConnection>;

/** A client with one connection. Each of its requests must cost one token of its own address. */
class Client {
  private readonly connection: RawConnection;
  private readonly address: string;
  private readonly sent: Map<string, number>;

  /** @param sent requests so far, by address */
  constructor(connection: RawConnection, address: string, sent: Map<string, number>) {
    this.connection = connection;
    this.address = address;
    this.sent = sent;
  }

  /** Several requests: the limiter rounds, so one token more or less tells nothing. */
  async post(): Promise<void> {
    for (let k = 0; k < REQUESTS; k++) {
      const response = await this.connection.request(postRequest(namesBody(uniqueName('from'))));
      const left = Number(/r=(\d+)/.exec(response.header('ratelimit') ?? '')?.[1]);
      const sent = (this.sent.get(this.address) ?? 0) + 1;
      this.sent.set(this.address, sent);
      const missing = BURST - sent - left;
      assert.ok(
        missing === 0 || missing === 1,
        `${left} tokens left after ${sent} requests of ${this.address}`,
      );
    }
  }

  /** Resolves once the server has closed its side too. */
  async close(): Promise<void> {
    this.connection.finish();
    assert.ok(await this.connection.waitClosed(CLOSED_WITHIN_MS), 'the server closes');
    this.connection.close();
  }
}

async function comeAndGo(open: Open): Promise<void> {
  const sent = new Map<string, number>();
  const connect = async (address: string): Promise<Client> => new Client(await open(address), address, sent);
  const first = await connect(A);
  const second = await connect(A);
  for (const client of [first, second, first]) await client.post();
  const other = await connect(B);
  for (const client of [other, first, other, second]) await client.post();
  await other.close();
  for (const client of [first, second]) await client.post();
  await first.close();
  await second.close();
  // No connection is open: the next address is that of a new one.
  const third = await connect(C);
  await third.post();
  const again = await connect(B);
  for (const client of [again, third]) await client.post();
  await third.close();
  await again.post();
  const last = await connect(A);
  for (const client of [last, again]) await client.post();
  await again.close();
  await last.close();
}

describe('the address of a client', () => {
  it('is that of its own connection, whichever others are open', async (t) => {
    const { port } = await startServer(t, { args: LIMITS });
    await comeAndGo((localAddress) => RawConnection.open(port, '127.0.0.1', localAddress));
  });

  describe('over TLS', { skip: requireTool('openssl') }, () => {
    const directory = temporaryDirectory({ after });

    it('is that of its own connection too', async (t) => {
      const { cert, key } = makeCertificate(directory, 'address.test');
      const { port } = await startServer(t, { args: [...LIMITS, '--tls-cert', cert, '--tls-key', key] });
      await comeAndGo((localAddress) => RawConnection.openSecure(port, { localAddress }));
    });
  });
});
