/** The stream's end of export against a real nats-server: resume point, fence, rollback, errors. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cpSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseNatsAddress } from '../../src/nats/address.ts';
import { openNats } from '../../src/nats/connect.ts';
import { natsErrorText } from '../../src/nats/errors.ts';
import { LogWriter, StreamMoved } from '../../src/nats/log-writer.ts';
import type { CommitMessage } from '../../src/nats/message.ts';
import { initStream } from '../../src/nats/stream.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import {
  copyDirectory,
  type NatsOptions,
  startNats,
  startNatsCluster,
  withJetStream,
} from '../support/nats-server.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const skip = requireTool('nats-server');
const LOG = randomUUID();
const RETRY_MS = 20;
const PRESENT = fileURLToPath(import.meta.url);
const STREAM = 'METRICSSTREAM';
const ADDRESS = parseNatsAddress(`nats://127.0.0.1/${STREAM}`, '--to');

function commit(number: number, exporter = randomUUID()): CommitMessage {
  const body = Buffer.from(`{"timestamp":1,"name":"m","value":${number}}\n`);
  return {
    ...{ log: LOG, first: number, last: number, part: 0, parts: 0, lines: 1, commitBytes: [body.length] },
    ...{ firstLine: 0, damage: '', sealCrc32: null },
    ...{ readAtMs: Date.now(), exporter, mayRepeat: false, body },
  };
}

async function init(url: string, settings: { readonly replicas: number; readonly maxBytes: number }) {
  const link = await openNats(parseNatsAddress(url, '--to'), {}, 'test');
  try {
    await initStream(link, ADDRESS, settings);
  } finally {
    // An open connection would keep this process alive after a failure.
    await link.close();
  }
}

async function connectTo(t: TestContext, url: string) {
  const connection = await openNats(parseNatsAddress(url, '--to'), {}, 'test');
  onEnd(t, () => connection.close());
  return connection;
}

async function started(t: TestContext, options: NatsOptions = {}) {
  const server = await startNats(t, options);
  await init(server.url, { replicas: 1, maxBytes: 1 << 28 });
  return { server, connection: await connectTo(t, server.url) };
}

/** Commits in the stream, in order. */
async function stored(url: string): Promise<number[]> {
  return withJetStream(url, async (jsm) => {
    const { state } = await jsm.streams.info(STREAM);
    const found: number[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await jsm.streams.getMessage(STREAM, { seq });
      if (message !== null) found.push(Number(message.header.get('Ms-First')));
    }
    return found;
  });
}

describe('the writer of a log', { skip }, () => {
  it('starts before the first message, and later behind the last one of its own log', async (t) => {
    const { connection } = await started(t);
    const writer = await LogWriter.open(connection, STREAM, LOG);
    assert.equal(writer.last, null);
    const other = await LogWriter.open(connection, STREAM, randomUUID());
    for (const number of [1, 2, 3]) await writer.append(commit(number));
    await other.append(commit(9));
    const resumed = await LogWriter.open(connection, STREAM, LOG);
    assert.equal(resumed.last?.last, 3);
  });

  it('is fenced as soon as another one has appended, and stores nothing more', async (t) => {
    const { server, connection } = await started(t);
    const first = await LogWriter.open(connection, STREAM, LOG);
    await first.append(commit(1));
    const second = await LogWriter.open(connection, STREAM, LOG);
    await second.append(commit(2));
    await assert.rejects(first.append(commit(2)), {
      code: 'SINK_FENCED',
      message: /another exporter ships this log/,
    });
    assert.deepEqual(await stored(server.url), [1, 2]);
  });

  it('is not fenced by its own message, stored after the resume point was read again', async (t) => {
    const { server, connection } = await started(t);
    const exporter = randomUUID();
    const [before, after] = [
      await LogWriter.open(connection, STREAM, LOG),
      await LogWriter.open(connection, STREAM, LOG),
    ];
    // The acknowledgement of the first try was late, and the message was on its way when `after` read the resume point.
    await before.append(commit(1, exporter));
    await assert.rejects(after.append(commit(1, exporter)), StreamMoved);
    const resumed = await LogWriter.open(connection, STREAM, LOG);
    assert.equal(resumed.last?.last, 1);
    await resumed.append(commit(2, exporter));
    assert.deepEqual(await stored(server.url), [1, 2]);
  });

  it('reads the resume point again for a message that another one had on its way', async (t) => {
    const { connection } = await started(t);
    const [predecessor, writer] = [
      await LogWriter.open(connection, STREAM, LOG),
      await LogWriter.open(connection, STREAM, LOG),
    ];
    await predecessor.append(commit(1));
    await assert.rejects(writer.append(commit(1)), StreamMoved);
  });

  it('notices that the stream was rolled back to an older copy, and resumes behind that', async (t) => {
    const { server, connection } = await started(t);
    const writer = await LogWriter.open(connection, STREAM, LOG);
    for (const number of [1, 2]) await writer.append(commit(number));
    await server.kill('SIGTERM');
    const copy = join(temporaryDirectory(t), 'copy');
    cpSync(server.storeDir, copy, { recursive: true });
    await server.start();
    await eventually('the client is connected again', () =>
      writer.append(commit(3)).then(
        () => true,
        () => false,
      ),
    );
    await writer.append(commit(4));
    await server.kill();
    copyDirectory(copy, server.storeDir);
    await server.start();
    // Until the client has connected again, each attempt fails.
    await eventually('the writer notices', async () => {
      const error = await writer.append(commit(5)).then(
        () => assert.fail('it was stored'),
        (error: unknown) => error,
      );
      return error instanceof StreamMoved;
    });
    const resumed = await LogWriter.open(connection, STREAM, LOG);
    assert.equal(resumed.last?.last, 2);
    for (const number of [3, 4, 5]) await resumed.append(commit(number));
    assert.deepEqual(await stored(server.url), [1, 2, 3, 4, 5]);
  });

  it('goes on after the server refused its login for a while', async (t) => {
    const directory = temporaryDirectory(t);
    const allow = (password: string): void =>
      writeFileSync(
        join(directory, 'login.conf'),
        `authorization { user: a, password: ${password}, timeout: 180 }\n`,
      );
    allow('right');
    const server = await startNats(t, { config: `include "../${basename(directory)}/login.conf"` });
    const url = `nats://a:right@127.0.0.1:${server.port}`;
    await init(url, { replicas: 1, maxBytes: 1 << 28 });
    const link = await connectTo(t, url);
    await server.kill();
    allow('another');
    await server.start();
    let refused = 0;
    for await (const { type } of link.connection.status()) {
      // The client's own default is to close the connection at the second one.
      if (type === 'error' && ++refused === 3) break;
    }
    await server.kill();
    allow('right');
    await server.start();
    await eventually('a writer opens', () =>
      LogWriter.open(link, STREAM, LOG).then(
        () => true,
        () => false,
      ),
    );
  });

  it('goes on after the leader of three is killed, and stores each message once', async (t) => {
    const cluster = await startNatsCluster(t);
    await init(cluster.url, { replicas: 3, maxBytes: 1 << 28 });
    const connection = await connectTo(t, cluster.url);
    // A request may get no answer while the cluster changes its leader, also because a disk stalls.
    let first: LogWriter | undefined;
    await eventually('a writer opens', async () => {
      first = await LogWriter.open(connection, STREAM, LOG).catch(() => undefined);
      return first !== undefined;
    });
    let writer = first!;
    const leader = await cluster.leader(STREAM);
    let isKilled = false;
    for (let number = 1; number <= 40; ) {
      try {
        await writer.append(commit(number));
        number++;
        if (isKilled) continue;
        isKilled = true;
        await leader.kill();
      } catch {
        // A closed connection fails at once, and can only be opened again while timers and sockets have their turn.
        await delay(RETRY_MS);
        writer = await LogWriter.open(connection, STREAM, LOG).catch(() => writer);
        number = (writer.last?.last ?? 0) + 1;
      }
    }
    let found: number[] = [];
    await eventually('the stream is read', () =>
      stored(cluster.url).then(
        (numbers) => {
          found = numbers;
          return true;
        },
        () => false,
      ),
    );
    assert.deepEqual(
      found,
      Array.from({ length: 40 }, (_, k) => k + 1),
    );
  });
});

describe('errors of NATS', { skip }, () => {
  const textOf = async (url: string, run: () => Promise<unknown>): Promise<string> => {
    const error = await run().then(
      () => assert.fail('it succeeded'),
      (error: unknown) => error,
    );
    return natsErrorText(error, parseNatsAddress(url, '--to'));
  };

  it('name the cause and the remedy when there is no server', async () => {
    await assert.rejects(openNats(parseNatsAddress('nats://127.0.0.1:1', '--to'), {}, 'test'), {
      code: 'SINK_FAILED',
      message:
        'cannot reach NATS at 127.0.0.1:1: connection refused; start nats-server there, or correct the address',
    });
  });

  it('name the command that creates a missing stream', async (t) => {
    const server = await startNats(t);
    const connection = await connectTo(t, server.url);
    const text = await textOf(server.url, () => LogWriter.open(connection, STREAM, LOG));
    assert.match(
      text,
      /^the stream METRICSSTREAM does not exist; create it: metricsstream export --to .* --init$/,
    );
  });

  it('say that JetStream is off', async (t) => {
    const server = await startNats(t, { jetStream: false });
    const connection = await connectTo(t, server.url);
    const text = await textOf(server.url, () => LogWriter.open(connection, STREAM, LOG));
    assert.match(text, /JetStream .*not enabled/);
  });

  it('say that the user or password is wrong', async (t) => {
    const server = await startNats(t, { config: 'authorization { user: a, password: b, timeout: 180 }' });
    await assert.rejects(openNats(parseNatsAddress(server.url, '--to'), {}, 'test'), {
      code: 'SINK_FAILED',
      message: /refuses the user, password or credentials/,
    });
  });

  it('name the option of a TLS file that cannot be read', async () => {
    for (const [file, option] of [
      ['tlsCa', '--nats-tls-ca'],
      ['tlsCert', '--nats-tls-cert'],
      ['tlsKey', '--nats-tls-key'],
    ] as const) {
      const files = {
        ...(file === 'tlsCa' ? {} : { tlsCert: PRESENT, tlsKey: PRESENT }),
        [file]: '/missing.pem',
      };
      await assert.rejects(openNats({ ...ADDRESS, isTls: true }, files, 'test'), {
        code: 'CONFIG_INVALID',
        message: new RegExp(`^${option} /missing\\.pem: `),
      });
    }
  });

  it('name the subject of a missing permission', async (t) => {
    const user =
      '{ user: a, password: b, permissions: { publish: ["$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>"] } }';
    const admin = '{ user: admin, password: admin }';
    const server = await startNats(t, {
      config: `authorization { users: [${user}, ${admin}], timeout: 180 }`,
    });
    const at = (login: string) => `nats://${login}@127.0.0.1:${server.port}`;
    const admins = await connectTo(t, at('admin:admin'));
    await initStream(admins, ADDRESS, { replicas: 1, maxBytes: 1 << 28 });
    const connection = await connectTo(t, at('a:b'));
    const writer = await LogWriter.open(connection, STREAM, LOG);
    const text = await textOf(server.url, () => writer.append(commit(1)));
    assert.match(text, /^NATS denies publishing to metricsstream\.[0-9a-f-]+; grant it/);
  });

  it('say that the stream is full, and the message is stored once there is room', async (t) => {
    const { server, connection } = await started(t);
    await init(server.url, { replicas: 1, maxBytes: 2_000 });
    const writer = await LogWriter.open(connection, STREAM, LOG);
    let number = 1;
    const text = await textOf(server.url, async () => {
      for (; ; number++) await writer.append(commit(number));
    });
    assert.match(text, /^the stream METRICSSTREAM is full; start consumers, or raise its limit/);
    await init(server.url, { replicas: 1, maxBytes: 1 << 20 });
    await writer.append(commit(number));
    assert.equal((await stored(server.url)).at(-1), number);
  });

  it('name settings of a stream that would lose messages', async (t) => {
    const { server, connection } = await started(t);
    await withJetStream(server.url, (jsm) => jsm.streams.add({ name: 'ENDED', subjects: ['ended.*'] }));
    await withJetStream(server.url, async (jsm) => {
      const { config } = await jsm.streams.info('ENDED');
      await jsm.streams.update('ENDED', { ...config, sealed: true } as object);
    });
    await assert.rejects(LogWriter.open(connection, 'ENDED', LOG), {
      code: 'CONFIG_INVALID',
      message: /stream ENDED has .*been sealed, so it can/,
    });
    await withJetStream(server.url, (jsm) =>
      jsm.streams.update(STREAM, { max_age: 60e9, duplicate_window: 60e9, discard: 'old' as never }),
    );
    await assert.rejects(LogWriter.open(connection, STREAM, LOG), {
      code: 'CONFIG_INVALID',
      message: /stream METRICSSTREAM has discard old and a max_age, so it can drop metrics/,
    });
  });
});
