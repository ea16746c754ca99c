/** An acknowledgement that nobody should have given, or one that is missing, loses nothing: the sink decides what it holds. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { AckPolicy, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { Trimmer } from '../../src/consume/trimmer.ts';
import type { StoredMessage } from '../../src/consume/worker-report.ts';
import { encodeHeaders } from '../../src/nats/message.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { startNats, startNatsCluster, withJetStream } from '../support/nats-server.ts';
import {
  assertSame,
  init,
  requirePipeline,
  rowCount,
  startPipeline,
  untilRows,
} from '../support/pipeline.ts';
import { post } from '../support/raw-http.ts';
import { runCli, startCli, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const STREAM = 'METRICSSTREAM';
const DURABLE = 'metricsstream';
const FETCH_MS = 10_000;

/** Of a consumer that stored what the stream would not deliver again. */
const warnings = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.includes('would not deliver again, although the sink lacked it'));

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
    const consumer = startCli(t, consumeArgs);
    await untilRows(postgres, 3);
    await consumer.until((lines) => warnings(lines).length === 3);
    await assertSame(postgres, server.dataDir);
    consumer.kill('SIGTERM');
    assert.deepEqual(await consumer.exited, { code: 0, signal: null });
    // The newest message stays in the stream, and is looked up again.
    const again = startCli(t, [...consumeArgs, '--metrics-port', '0']);
    await again.until((lines) => lines.some((line) => line.includes('consuming')));
    again.kill('SIGTERM');
    await again.exited;
    assert.deepEqual(warnings(again.lines), []);
    await assertSame(postgres, server.dataDir);
  });
});

describe('a finished message of which the sink lacks some commits', { skip: requirePipeline() }, () => {
  it('brings the missing commits into the sink, and consume warns', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const send = async (): Promise<void> =>
      assertAccepted(await post(server.port, namesBody(uniqueName('m'))), 1);
    await send();
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    const first = startCli(t, consumeArgs);
    await untilRows(postgres, 1);
    first.kill('SIGTERM');
    await first.exited;
    await withJetStream(nats.url, (jsm) => jsm.streams.purge(STREAM));
    for (let k = 0; k < 2; k++) await send();
    await server.stop();
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    await withJetStream(nats.url, (jsm) => acknowledge(jsm, 1));
    const consumer = startCli(t, consumeArgs);
    await consumer.until((lines) => warnings(lines).length === 1);
    assert.equal(await rowCount(postgres), 3);
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
  /** A message of one commit for each of these logs, acknowledged. Returns what the stream holds now. */
  async function fill(jsm: JetStreamManager, logs: readonly string[]): Promise<StoredMessage[]> {
    const stored: StoredMessage[] = [];
    for (const [k, log] of logs.entries()) {
      const commit = k + 1;
      const body = Buffer.from('{}\n');
      const extent = { log, first: commit, last: commit, part: 0, parts: 0 };
      const headers = encodeHeaders({
        ...{ ...extent, lines: 1, firstLine: 0, damage: '', commitBytes: [3], sealCrc32: null },
        ...{ readAtMs: 0, exporter: 'test', mayRepeat: false, body },
      });
      const { seq: sequence } = await jsm.jetstream().publish(`metricsstream.${log}`, body, { headers });
      const message = await jsm.streams.getMessage(STREAM, { seq: sequence });
      stored.push({ ...extent, sequence, bytes: 3, atMs: message!.time.getTime() });
    }
    await acknowledge(jsm, logs.length);
    return stored;
  }

  /** Numbers of the messages that the trimmer settles go to `settled`. */
  const trimmerOf = (
    jsm: JetStreamManager,
    settled: number[],
    times?: ConstructorParameters<typeof Trimmer>[4],
  ): Trimmer => {
    const settle = (message: StoredMsg): Promise<void> => {
      settled.push(message.seq);
      return Promise.resolve();
    };
    return new Trimmer(jsm, STREAM, DURABLE, settle, times);
  };

  it('deletes what the sink holds, and nothing of a stream that took the place of the one it knew', async (t) => {
    const nats = await startNats(t);
    await init(nats.url);
    await withJetStream(nats.url, async (jsm) => {
      const settled: number[] = [];
      const trimmer = trimmerOf(jsm, settled);
      const log = randomUUID();
      const old = await fill(jsm, [log, log, log]);
      trimmer.add(old);
      assert.equal(await trimmer.trim(), 2);
      assert.deepEqual(settled, [], 'it knows of all that the sink holds them');
      await jsm.streams.delete(STREAM);
      await init(nats.url);
      await fill(jsm, [log, log, log]);
      await trimmer.trim();
      // A transaction of the old stream's messages has just ended.
      trimmer.add(old);
      await trimmer.trim();
      assert.equal((await jsm.streams.info(STREAM)).state.messages, 3);
      assert.deepEqual(settled, [1, 2, 3], 'the sink was asked about each');
      assert.equal(await trimmer.trim(), 2);
    });
  });

  it('settles a message that has got the number of another one, before it deletes it', async (t) => {
    const { url } = await startNatsCluster(t);
    await init(url);
    await withJetStream(url, async (jsm) => {
      const [settled, log, other] = [[] as number[], randomUUID(), randomUUID()];
      const trimmer = trimmerOf(jsm, settled);
      const [one, two, three, ofOther] = await fill(jsm, [log, log, log, other]);
      let deleted = 0;
      const untilDeleted = (count: number): Promise<void> =>
        // The list of consumers is not complete while one has no leader.
        eventually(`${count} deleted`, async () => {
          deleted += await trimmer.trim();
          return deleted >= count;
        });
      // A consumer got commits 1 and 2 under number 2, and a message of this log under number 4.
      trimmer.add([one!, { ...two!, first: 1 }, three!, { ...three!, sequence: ofOther!.sequence }]);
      await untilDeleted(2);
      assert.deepEqual([...settled].sort(), [2, 4]);
      assert.equal(deleted, 2);
      for (const [sequence, isThere] of [
        [1, false],
        [2, false],
        [3, true],
        [4, true],
      ] as const) {
        const found = await jsm.streams.getMessage(STREAM, { seq: sequence });
        assert.equal(found !== null, isThere, `message ${sequence}`);
      }
    });
  });

  it('asks the next leader for messages that were stored before its election', async (t) => {
    const cluster = await startNatsCluster(t);
    await init(cluster.url);
    await withJetStream(cluster.url, async (jsm) => {
      const [settled, log] = [[] as number[], randomUUID()];
      const trimmer = trimmerOf(jsm, settled, { doubtMs: 0, searchMs: Number.POSITIVE_INFINITY });
      // A cluster without a leader answers no request.
      const trimmed = (): Promise<number> => trimmer.trim().catch(() => 0);
      trimmer.add(await fill(jsm, [log, log, log]));
      await eventually('two are deleted', async () => (await trimmed()) === 2);
      assert.deepEqual(settled, []);
      // A consumer got another message under number 4.
      const [four, five] = await fill(jsm, [log, log]);
      trimmer.add([{ ...four!, last: 9 }, five!]);
      const leader = await cluster.leader(STREAM);
      await leader.kill();
      await eventually('the next leader is asked', async () => {
        await trimmed();
        return settled.length > 0;
      });
      assert.deepEqual(settled, [4]);
    });
  });

  it('settles the newest message, too, if that has got the number of another one', async (t) => {
    const nats = await startNats(t);
    await init(nats.url);
    await withJetStream(nats.url, async (jsm) => {
      const settled: number[] = [];
      const trimmer = trimmerOf(jsm, settled);
      const [only] = await fill(jsm, [randomUUID()]);
      trimmer.add([{ ...only!, last: only!.last + 1 }]);
      await trimmer.trim();
      assert.deepEqual(settled, [1]);
    });
  });
});
