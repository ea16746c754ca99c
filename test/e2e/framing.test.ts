import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { type FramingAttack, KNOWN_LENIENT, MUST_REJECT } from '../support/framing-attacks.ts';
import { type HttpEvent, post, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const server = await startServer({ after }, { args: ['--workers', '1'] });

/** Longer than the idle time of uWebSockets.js (10 s, with a coarse clock). */
const GIVE_UP_MS = 20_000;

interface Outcome {
  readonly attack: FramingAttack;
  readonly name: string;
  readonly event: HttpEvent;
  readonly closed: boolean;
}

async function attempt(attack: FramingAttack): Promise<Outcome> {
  const name = uniqueName('attack');
  const connection = await RawConnection.open(server.port);
  connection.write(Buffer.from(attack.bytes(name), 'latin1'));
  if (attack.thenFinish === true) connection.finish();
  const event = await connection.next(GIVE_UP_MS);
  const closed = event.kind === 'closed' || (await connection.waitClosed(GIVE_UP_MS));
  connection.close();
  return { attack, name, event, closed };
}

describe('broken framing', () => {
  it('gets a refusal or a close in every form, with nothing stored and no second answer', async (t) => {
    const outcomes = await Promise.all(MUST_REJECT.map(attempt));
    assertAccepted(await post(server.port, namesBody(uniqueName('good'))), 1);
    const stored = countNames(readStored(server.dataDir));
    for (const { attack, name, event, closed } of outcomes) {
      await t.test(attack.what, () => {
        assert.equal(stored.get(name), undefined, 'stored');
        if (event.kind === 'response') {
          const { status } = event.response;
          assert.ok(status >= 400 && status <= 505, `answered ${status}`);
        }
        assert.ok(closed, 'the connection was left open');
      });
    }
  });

  it('has two known lenient cases, which store the one metric they carry', async (t) => {
    for (const attack of KNOWN_LENIENT) {
      await t.test(attack.what, async () => {
        const name = uniqueName('lenient');
        const connection = await RawConnection.open(server.port);
        connection.write(attack.bytes(name));
        const event = await connection.next(GIVE_UP_MS);
        connection.close();
        const count = countNames(readStored(server.dataDir)).get(name) ?? 0;
        // Newer releases refuse them. The answer must agree with the files in any case.
        assert.equal(count, event.kind === 'response' && event.response.status === 200 ? 1 : 0);
      });
    }
  });
});

describe('the header section', () => {
  function withHeaderBytes(bytes: number, name: string): string {
    const body = namesBody(name);
    return `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\nX-Long: ${'a'.repeat(bytes)}\r\n\r\n${body}`;
  }

  it('may have 3 KiB', async () => {
    const connection = await RawConnection.open(server.port);
    connection.write(withHeaderBytes(3 * 1024, uniqueName('header')));
    assertAccepted(await connection.read(), 1);
    connection.close();
  });

  for (const bytes of [9 * 1024, 64 * 1024]) {
    it(`is refused or cut at ${bytes / 1024} KiB, with nothing stored`, async () => {
      const name = uniqueName('header');
      const connection = await RawConnection.open(server.port);
      connection.write(withHeaderBytes(bytes, name));
      const event = await connection.next(GIVE_UP_MS);
      if (event.kind === 'response')
        assert.ok([400, 431].includes(event.response.status), String(event.response.status));
      else assert.equal(event.kind, 'closed');
      connection.close();
      assert.equal(countNames(readStored(server.dataDir)).get(name), undefined);
    });
  }

  it('is counted as a whole: many small headers are refused like a long one', async () => {
    const name = uniqueName('header');
    const body = namesBody(name);
    const many = Array.from({ length: 40 }, (_, k) => `X-Header-${k}: ${'a'.repeat(300)}\r\n`).join('');
    const connection = await RawConnection.open(server.port);
    connection.write(
      `POST /metrics HTTP/1.1\r\nHost: localhost\r\n${many}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    const event = await connection.next(GIVE_UP_MS);
    assert.notEqual(event.kind === 'response' && event.response.status, 200);
    connection.close();
    assert.equal(countNames(readStored(server.dataDir)).get(name), undefined);
  });
});
