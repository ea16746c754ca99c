/** `export --to nats://…` as operators run it: a server, the command, and a real nats-server. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { StoredMsg } from '@nats-io/jetstream';
import { decodeMessage } from '../../src/nats/message.ts';
import { assertAccepted } from '../support/assertions.ts';
import { bodyOf, metric } from '../support/bodies.ts';
import { onEnd } from '../support/clean-up.ts';
import { startNats, withJetStream } from '../support/nats-server.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startCli, startServer, temporaryDirectory } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';
import { requireTool } from '../support/tools.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const skip = requireTool('nats-server');
const STREAM = 'METRICSSTREAM';

/** All messages of a stream, in order. */
async function messagesIn(url: string, stream = STREAM): Promise<StoredMsg[]> {
  return withJetStream(url, async (jsm) => {
    const { state } = await jsm.streams.info(stream);
    const found: StoredMsg[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await jsm.streams.getMessage(stream, { seq });
      if (message !== null) found.push(message);
    }
    return found;
  });
}

describe('export to NATS', { skip }, () => {
  it('ships every metric once, large commits in parts, and a second run ships nothing', async (t) => {
    const nats = await startNats(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    assertAccepted(await post(server.port, bodyOf([metric('small')])), 1);
    const many = Array.from({ length: 9_000 }, (_, k) => metric(`large.${k}`, k));
    assertAccepted(await post(server.port, bodyOf(many)), many.length);
    assertAccepted(await post(server.port, bodyOf([metric('last')])), 1);
    await server.stop();
    const init = await runCli(['export', '--to', nats.url, '--init']);
    assert.equal(init.code, 0, init.stderr);
    assert.match(init.stdout, /replicas 1: /);
    const args = ['export', '--to', nats.url, '--data-dir', server.dataDir, '--once'];
    const first = await runCli(args);
    assert.equal(first.code, 0, first.stderr + first.stdout);
    const messages = await messagesIn(nats.url);
    const decoded = messages.map(({ header, data }) => {
      const message = decodeMessage(header, data);
      assert.ok(typeof message !== 'string', String(message));
      return message;
    });
    assert.ok(decoded.some(({ parts }) => parts > 1));
    const lines = Buffer.concat(decoded.map(({ body }) => body))
      .toString()
      .trimEnd()
      .split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      readStored(server.dataDir),
    );
    const second = await runCli(args);
    assert.equal(second.code, 0, second.stderr);
    assert.equal((await messagesIn(nats.url)).length, messages.length);
  });

  it('ends if the log went on from an older copy than the stream', async (t) => {
    const nats = await startNats(t);
    assert.equal((await runCli(['export', '--to', nats.url, '--init'])).code, 0);
    const rig = new WriterRig();
    onEnd(t, () => rig.remove());
    const copy = join(temporaryDirectory(t), 'copy');
    rig.store(line(0));
    cpSync(rig.dataDir, copy, { recursive: true });
    for (const id of [1, 2]) rig.store(line(id));
    await rig.stop();
    const again = new WriterRig({ dataDir: copy });
    for (const id of [11, 12, 13]) again.store(line(id));
    await again.stop();
    const ship = (dataDir: string) => runCli(['export', '--to', nats.url, '--data-dir', dataDir, '--once']);
    assert.equal((await ship(rig.dataDir)).code, 0);
    const { code, stderr } = await ship(copy);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /holds the log up to commit 3, but .* has another commit of this number/);
  });

  it('goes on amid a large commit after a failure there', async (t) => {
    const nats = await startNats(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const many = Array.from({ length: 9_000 }, (_, k) => metric(`${'large'.repeat(20)}.${k}`, k));
    assertAccepted(await post(server.port, bodyOf(many)), many.length);
    await server.stop();
    // Room for one of the parts.
    await runCli(['export', '--to', nats.url, '--init', '--stream-max-bytes', '1m']);
    const args = ['export', '--to', nats.url, '--data-dir', server.dataDir];
    const blocked = startCli(t, args);
    await blocked.until((lines) =>
      lines.some((line) =>
        /the stream METRICSSTREAM is full; start consumers, or raise its limit/.test(line),
      ),
    );
    blocked.kill('SIGKILL');
    await blocked.exited;
    assert.equal((await messagesIn(nats.url)).length, 1);
    await runCli(['export', '--to', nats.url, '--init']);
    const done = await runCli([...args, '--once']);
    assert.equal(done.code, 0, done.stdout);
    const messages = await messagesIn(nats.url);
    const bodies = Buffer.concat(messages.map(({ data }) => data)).toString();
    assert.equal(bodies.trimEnd().split('\n').length, many.length);
  });

  it('exits 1 with one line when server or stream would refuse ordinary messages, or answer none', async (t) => {
    const server = await startServer(t);
    assertAccepted(await post(server.port, bodyOf([metric('m')])), 1);
    const assertEnds = async (url: string, reason: RegExp): Promise<void> => {
      const { code, stderr } = await runCli(['export', '--to', url, '--data-dir', server.dataDir, '--once']);
      assert.equal(code, 1, stderr);
      assert.match(stderr, reason);
    };
    const small = await startNats(t, { config: 'max_payload: 65536' });
    assert.equal((await runCli(['export', '--to', small.url, '--init'])).code, 0);
    await assertEnds(
      small.url,
      /^metricsstream: max_payload of nats-server is 65536 bytes, .*: set it to 1 MiB, or more\n$/,
    );
    const nats = await startNats(t);
    assert.equal((await runCli(['export', '--to', nats.url, '--init'])).code, 0);
    await withJetStream(nats.url, (jsm) => jsm.streams.update(STREAM, { max_msg_size: 100_000 }));
    await assertEnds(nats.url, /^metricsstream: max_msg_size of the stream METRICSSTREAM is 100000 bytes, /);
    await withJetStream(nats.url, (jsm) => jsm.streams.update(STREAM, { max_msg_size: -1, no_ack: true }));
    await assertEnds(nats.url, /^metricsstream: stream METRICSSTREAM has no_ack, /);
  });

  it('exits 1 with one line when the stream is missing or has no room, or the directory holds no log', async (t) => {
    const nats = await startNats(t);
    const server = await startServer(t);
    const missing = await runCli(['export', '--to', nats.url, '--data-dir', server.dataDir]);
    assert.equal(missing.code, 1);
    assert.match(
      missing.stderr,
      /^metricsstream: the stream METRICSSTREAM does not exist; create it: .* --init\n$/,
    );
    const noLog = await runCli(['export', '--to', nats.url, '--data-dir', temporaryDirectory(t)]);
    assert.equal(noLog.code, 1);
    assert.match(noLog.stderr, /^metricsstream: .* has no log\.json: /);
    const config = `jetstream { store_dir: "${temporaryDirectory(t)}", max_file_store: 1048576 }`;
    const small = await startNats(t, { jetStream: false, config });
    const noRoom = await runCli(['export', '--to', small.url, '--init']);
    assert.equal(noRoom.code, 1);
    assert.match(
      noRoom.stderr,
      /^metricsstream: NATS at .* has no room for METRICSSTREAM; free disk space there, or lower --stream-max-bytes\n$/,
    );
  });

  for (const [args, reason] of [
    [['--to', 'http://127.0.0.1'], /--to: give a URL of the form postgres:\/\/… or nats:/],
    [['--to', 'nats://127.0.0.1:99999'], /"127\.0\.0\.1:99999" is not host:port/],
    [['--to', 'nats://50%:x@a'], /--to: write a % in the user, password or token as %25/],
    [['--to', 'nats://a/b.c'], /the stream "b\.c" may have letters/],
    [
      ['--to', 'nats://a', '--range-bytes', '1h'],
      /'--range-bytes <size>' argument '1h' is invalid\. "h" does not fit here/,
    ],
    [['--to', 'nats://a', '--name', 'A'], /--name A: use letters a to z/],
  ] as const) {
    it(`exits 2 for ${args.join(' ')}`, async (t) => {
      const { code, stderr } = await runCli(['export', ...args, '--data-dir', temporaryDirectory(t)]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, reason);
    });
  }
});
