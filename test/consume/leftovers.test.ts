/** An acknowledgement that nobody should have given, or one that is missing, loses nothing: the sink decides what it holds. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { AckPolicy, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { Trimmer } from '../../src/consume/trimmer.ts';
import { encodeHeaders } from '../../src/nats/message.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { startNats, withJetStream } from '../support/nats-server.ts';
import { assertSame, init, requirePipeline, startPipeline, untilRows } from '../support/pipeline.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startCli, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const STREAM = 'METRICSSTREAM';
const DURABLE = 'metricsstream';
const FETCH_MS = 10_000;

/** As a consumer does that has stored nothing. */
async function acknowledge(jsm: JetStreamManager, count: number): Promise<void> {
  await jsm.consumers.add(STREAM, { durable_name: DURABLE, ack_policy: AckPolicy.Explicit });
  const consumer = await jsm.jetstream().consumers.get(STREAM, DURABLE);
  for await (const message of await consumer.fetch({ max_messages: count, expires: FETCH_MS }))
    assert.ok(await message.ackAck());
}

describe('a finished message that the sink lacks', { skip: requirePipeline() }, () => {
  it('is stored if it was given up after its last delivery', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    assertAccepted(await post(server.port, namesBody(uniqueName('m'))), 1);
    await server.stop();
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    await withJetStream(nats.url, async (jsm) => {
      await jsm.consumers.add(STREAM, {
        ...{ durable_name: DURABLE, ack_policy: AckPolicy.Explicit, max_deliver: 1, ack_wait: nanos(100) },
      });
      const consumer = await jsm.jetstream().consumers.get(STREAM, DURABLE);
      const fetched: number[] = [];
      await eventually('it is given up', async () => {
        // The server gives a message up when somebody asks for the next one.
        for await (const { seq } of await consumer.fetch({ max_messages: 1, expires: 1_000 }))
          fetched.push(seq);
        const { num_pending, num_ack_pending } = await jsm.consumers.info(STREAM, DURABLE);
        return num_pending + num_ack_pending === 0;
      });
      assert.deepEqual(fetched, [1]);
    });
    startCli(t, consumeArgs);
    await untilRows(postgres, 1);
    await assertSame(postgres, server.dataDir);
  });

  it('is stored if it was acknowledged, with a warning, and stored messages are not stored again', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    for (let k = 0; k < 3; k++) {
      assertAccepted(await post(server.port, namesBody(uniqueName('m'))), 1);
      assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    }
    await server.stop();
    await withJetStream(nats.url, (jsm) => acknowledge(jsm, 3));
    const says = (lines: readonly string[]): string[] =>
      lines.filter((line) => line.includes('would not deliver again, although the sink lacked it'));
    const consumer = startCli(t, consumeArgs);
    await untilRows(postgres, 3);
    await consumer.until((lines) => says(lines).length === 3);
    await assertSame(postgres, server.dataDir);
    consumer.kill('SIGTERM');
    assert.deepEqual(await consumer.exited, { code: 0, signal: null });
    // The newest message stays in the stream, and is looked up again.
    const again = startCli(t, [...consumeArgs, '--metrics-port', '0']);
    await again.until((lines) => lines.some((line) => line.includes('consuming')));
    again.kill('SIGTERM');
    await again.exited;
    assert.deepEqual(says(again.lines), []);
    await assertSame(postgres, server.dataDir);
  });
});

describe('a stream that is deleted and made again under export and consume', {
  skip: requirePipeline(),
}, () => {
  it('gets everything again, and each metric is stored once', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const exporter = startCli(t, exportArgs(server.dataDir));
    const consumer = startCli(t, [...consumeArgs, '--workers', '2', '--ack-wait', '2s']);
    const send = async (): Promise<void> =>
      assertAccepted(await post(server.port, namesBody(uniqueName('m'))), 1);
    for (let k = 1; k <= 3; k++) {
      await send();
      await untilRows(postgres, k);
    }
    // An exporter that finds no stream ends, and this one may look just now.
    exporter.kill('SIGSTOP');
    await withJetStream(nats.url, (jsm) => jsm.streams.delete(STREAM));
    await init(nats.url);
    exporter.kill('SIGCONT');
    await send();
    await exporter.until((lines) => lines.some((line) => line.includes('the sink has lost commits')));
    await consumer.until((lines) => lines.some((line) => line.includes('made the consumer again')));
    await untilRows(postgres, 4);
    await server.stop();
    await assertSame(postgres, server.dataDir);
  });
});

describe('the trimmer', { skip: requireTool('nats-server') }, () => {
  const log = randomUUID();

  /** Three messages of one log in a new stream, acknowledged. Returns when the stream stored them. */
  async function fill(jsm: JetStreamManager): Promise<{ sequence: number; atMs: number }[]> {
    for (let commit = 1; commit <= 3; commit++) {
      const body = Buffer.from('{}\n');
      const headers = encodeHeaders({
        ...{ log, first: commit, last: commit, part: 0, parts: 0, lines: 1, firstLine: 0, damage: '' },
        ...{ commitBytes: [3], sealCrc32: null, readAtMs: 0, exporter: 'test', mayRepeat: false, body },
      });
      await jsm.jetstream().publish(`metricsstream.${log}`, body, { headers });
    }
    await acknowledge(jsm, 3);
    const found = await Promise.all([1, 2, 3].map((seq) => jsm.streams.getMessage(STREAM, { seq })));
    return found.map((message) => ({ sequence: message!.seq, atMs: message!.time.getTime() }));
  }

  it('deletes what the sink holds, and nothing of a stream that took the place of the one it knew', async (t) => {
    const nats = await startNats(t);
    await init(nats.url);
    await withJetStream(nats.url, async (jsm) => {
      const settled: number[] = [];
      const trimmer = new Trimmer(jsm, STREAM, DURABLE, (message: StoredMsg) => {
        settled.push(message.seq);
        return Promise.resolve();
      });
      const old = (await fill(jsm)).map((message) => ({ log, ...message }));
      trimmer.add(old);
      assert.equal(await trimmer.trim(), 2);
      assert.deepEqual(settled, [], 'it knows of all that the sink holds them');
      await jsm.streams.delete(STREAM);
      await init(nats.url);
      await fill(jsm);
      await trimmer.trim();
      // A transaction of the old stream's messages has just ended.
      trimmer.add(old);
      await trimmer.trim();
      assert.equal((await jsm.streams.info(STREAM)).state.messages, 3);
      assert.deepEqual(settled, [1, 2, 3], 'the sink was asked about each');
      assert.equal(await trimmer.trim(), 2);
    });
  });
});
