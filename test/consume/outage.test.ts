/** `export` and `consume` when the other side fails: outages, poison, two exporters, a stream from a backup, errors. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { headers } from '@nats-io/transport-node';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { copyDirectory, withJetStream } from '../support/nats-server.ts';
import {
  assertSame,
  init,
  type Pipeline,
  requirePipeline,
  rowCount,
  startPipeline,
  untilRows,
} from '../support/pipeline.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import { runCli, startCli, startServer, temporaryDirectory } from '../support/server-process.ts';

const STREAM = 'METRICSSTREAM';

describe('the way through NATS', { skip: requirePipeline() }, () => {
  const owner = suiteOwner();
  let pipeline: Pipeline;
  before(async () => {
    pipeline = await startPipeline(owner);
  });

  const postOne = async (port: number): Promise<void> =>
    assertAccepted(await post(port, namesBody(uniqueName('m'))), 1);

  it('waits for a stopped database and a stopped NATS, answers meanwhile, and then stores everything', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    const exporter = startCli(t, exportArgs(server.dataDir));
    const consumer = startCli(t, [...consumeArgs, '--workers', '2', '--ack-wait', '2s']);
    const before = await rowCount(postgres);
    await postOne(server.port);
    await untilRows(postgres, before + 1);
    await postgres.stop();
    for (let k = 0; k < 5; k++) await postOne(server.port);
    await consumer.until((lines) => lines.some((line) => line.includes('cannot reach the database')));
    await nats.kill();
    for (let k = 0; k < 5; k++) await postOne(server.port);
    await exporter.until((lines) => lines.some((line) => line.includes('cannot reach NATS')));
    await Promise.all([postgres.start(), nats.start()]);
    await postOne(server.port);
    await untilRows(postgres, before + 12);
    await server.stop();
    await assertSame(postgres, server.dataDir);
  });

  it('says once why the database stores nothing although it accepts connections, and once that it works again', async (t) => {
    const { postgres, consumeArgs, exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    const consumer = startCli(t, [...consumeArgs, '--workers', '2', '--metrics-port', '0']);
    await consumer.until((lines) => lines.some((line) => line.includes('"consuming"')));
    const metricsPort = Number(/"port":(\d+)/.exec(consumer.lines.join('\n'))![1]);
    const before = await rowCount(postgres);
    startCli(t, exportArgs(server.dataDir));
    await postgres.query('ALTER TABLE ms_cursor RENAME TO hidden');
    for (let k = 0; k < 3; k++) await postOne(server.port);
    await eventually('the messages were refused several times', async () => {
      const { body } = await fetchOnce(metricsPort, { path: '/metrics' });
      return Number(/^metricsstream_consume_returned_messages_total (\d+)$/m.exec(body.toString())![1]) >= 4;
    });
    const health = await fetchOnce(metricsPort, { path: '/health' });
    assert.equal(health.status, 503);
    assert.match(String(health.json().reason), /"ms_cursor" does not exist: create the tables with --init$/);
    await postgres.query('ALTER TABLE hidden RENAME TO ms_cursor');
    await untilRows(postgres, before + 3);
    await consumer.until((lines) => lines.some((line) => line.includes('works again')));
    await eventually('it is healthy', async () => {
      return (await fetchOnce(metricsPort, { path: '/health' })).status === 200;
    });
    const ofSink = consumer.lines.filter((line) => line.includes('"subject":"sink"'));
    assert.equal(ofSink.length, 2, ofSink.join('\n'));
    assert.match(ofSink[0]!, /"ms_cursor\\" does not exist: .*; trying again"/);
  });

  it('sends again what a stream restored from an older copy has lost, and stores nothing twice', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    const once = [...exportArgs(server.dataDir), '--once'];
    for (let k = 0; k < 3; k++) await postOne(server.port);
    assert.equal((await runCli(once)).code, 0);
    const before = await rowCount(postgres);
    await nats.kill('SIGTERM');
    const copy = join(temporaryDirectory(t), 'copy');
    cpSync(nats.storeDir, copy, { recursive: true });
    await nats.start();
    const consumer = startCli(t, [...consumeArgs, '--ack-wait', '2s']);
    for (let k = 0; k < 3; k++) await postOne(server.port);
    assert.equal((await runCli(once)).code, 0);
    await untilRows(postgres, before + 6);
    await nats.kill();
    copyDirectory(copy, nats.storeDir);
    await nats.start();
    await postOne(server.port);
    assert.equal((await runCli(once)).code, 0);
    await untilRows(postgres, before + 7);
    await server.stop();
    await assertSame(postgres, server.dataDir);
    consumer.kill('SIGTERM');
    assert.deepEqual(await consumer.exited, { code: 0, signal: null });
  });

  it('makes its consumer again when somebody has deleted it, says so, and stores nothing twice', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const before = await rowCount(postgres);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const exporter = startCli(t, exportArgs(server.dataDir));
    const consumer = startCli(t, [...consumeArgs, '--workers', '2']);
    await postOne(server.port);
    await untilRows(postgres, before + 1);
    await withJetStream(nats.url, (jsm) =>
      // nats-server 2.9 has deleted it then, too: it has just written a file into the directory that it removes.
      jsm.consumers.delete(STREAM, 'metricsstream').catch(({ message }: Error) => {
        assert.match(message, /directory not empty/);
      }),
    );
    await consumer.until((lines) => lines.some((line) => line.includes('made the consumer again')));
    await postOne(server.port);
    await untilRows(postgres, before + 2);
    for (const process of [exporter, consumer]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null });
    }
    await server.stop();
    await assertSame(postgres, server.dataDir);
  });

  it('ends with exit code 0 on a signal while NATS is away', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const before = await rowCount(postgres);
    const server = await startServer(t, { args: ['--workers', '1'] });
    await postOne(server.port);
    const exporter = startCli(t, exportArgs(server.dataDir));
    const consumer = startCli(t, [...consumeArgs, '--workers', '2']);
    await untilRows(postgres, before + 1);
    await nats.kill();
    await consumer.until((lines) => lines.some((line) => line.includes('trying again')));
    for (const process of [exporter, consumer]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null });
    }
    await nats.start();
  });

  it('lets one of two exporters of a log go on, and the other one end with exit code 3', async (t) => {
    const { exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    await postOne(server.port);
    const exporters = [1, 2].map(() => startCli(t, exportArgs(server.dataDir)));
    for (const exporter of exporters) {
      await exporter.until((lines) => lines.some((line) => line.includes('connected')));
    }
    let fenced = -1;
    for (const [k, { exited }] of exporters.entries()) void exited.then(() => (fenced = k));
    await eventually('one is fenced', async () => {
      await postOne(server.port);
      return fenced >= 0;
    });
    assert.deepEqual(await exporters[fenced]!.exited, { code: 3, signal: null });
    exporters[1 - fenced]!.kill('SIGTERM');
    assert.deepEqual(await exporters[1 - fenced]!.exited, { code: 0, signal: null });
  });

  it('puts a message that is not from export into the quarantine, stores those behind it, and lists it', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const before = await rowCount(postgres);
    const server = await startServer(t, { args: ['--workers', '1'] });
    await withJetStream(nats.url, async (jsm) => {
      const set = headers();
      set.set('Ms-Format', '9');
      await jsm.jetstream().publish(`metricsstream.${randomUUID()}`, 'x', { headers: set });
    });
    await postOne(server.port);
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    const consumer = startCli(t, consumeArgs);
    await untilRows(postgres, before + 1);
    await consumer.until((lines) => lines.some((line) => line.includes('put a message into the quarantine')));
    consumer.kill('SIGTERM');
    await consumer.exited;
    const kept = await runCli([...consumeArgs, '--retry-quarantine']);
    assert.equal(kept.code, 1);
    assert.match(kept.stderr, /of METRICSSTREAM: its format is 9, this version reads 1/);
    assert.match(kept.stdout, /stored 0 messages; 1 stay in the quarantine/);
    await withJetStream(nats.url, (jsm) => jsm.streams.purge(`${STREAM}_QUARANTINE`));
  });

  it('stores a repaired message from the quarantine once', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    await postOne(server.port);
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    // As consume moves it: a copy with the reason.
    await withJetStream(nats.url, async (jsm) => {
      const { state } = await jsm.streams.info(STREAM);
      const message = await jsm.streams.getMessage(STREAM, { seq: state.last_seq });
      const copy = headers();
      for (const [key, values] of message!.header) if (key.startsWith('Ms-')) copy.set(key, values[0]!);
      copy.set('Ms-Reason', 'a test');
      const subject = `metricsstream_quarantine.${copy.get('Ms-Log')}`;
      await jsm.jetstream().publish(subject, message!.data, { headers: copy });
    });
    const retried = await runCli([...consumeArgs, '--retry-quarantine']);
    assert.equal(retried.code, 0, retried.stderr);
    assert.match(retried.stdout, /stored 1 messages; 0 stay/);
    const consumer = startCli(t, consumeArgs);
    await withJetStream(nats.url, (jsm) =>
      eventually('the original is acknowledged', async () => {
        const { num_pending, num_ack_pending } = await jsm.consumers.info(STREAM, 'metricsstream');
        return num_pending + num_ack_pending === 0;
      }),
    );
    await assertSame(postgres, server.dataDir);
    consumer.kill('SIGTERM');
    assert.deepEqual(await consumer.exited, { code: 0, signal: null });
  });

  it('deletes acknowledged messages, and keeps the last one of each log', async (t) => {
    const { nats, consumeArgs, exportArgs } = pipeline;
    const server = await startServer(t, { args: ['--workers', '1'] });
    for (let k = 0; k < 3; k++) {
      await postOne(server.port);
      assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    }
    startCli(t, consumeArgs);
    await withJetStream(nats.url, (jsm) =>
      eventually('one message of each log is left', async () => {
        const { state } = await jsm.streams.info(STREAM, { subjects_filter: '>' });
        const counts = Object.values(state.subjects ?? {});
        return counts.length > 0 && counts.every((count) => count === 1);
      }),
    );
    await postOne(server.port);
    const again = await runCli([...exportArgs(server.dataDir), '--once']);
    assert.equal(again.code, 0, again.stdout);
    assert.doesNotMatch(again.stdout, /sending them again/);
  });

  it('ends with one line for a missing stream, missing tables, and options that lose metrics', async () => {
    const { nats, postgres, consumeArgs } = pipeline;
    const other = `${nats.url}/OTHER`;
    const missing = await runCli(['consume', '--from', other, '--to', postgres.url]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^metricsstream: the stream OTHER does not exist; create it: .*\n$/);
    const empty = await postgres.createDatabase('empty');
    // The first connection to a database makes PostgreSQL write files.
    const patience = ['--connect-timeout', '60s'];
    const tables = await runCli(['consume', '--from', nats.url, '--to', empty, ...patience]);
    assert.equal(tables.code, 1);
    assert.match(
      tables.stderr,
      /^metricsstream: .*has no tables of metricsstream: create them with --init\n$/,
    );
    const off = await runCli([...consumeArgs, '--synchronous-commit', 'off']);
    assert.equal(off.code, 2);
    assert.match(off.stderr, /--synchronous-commit off: consume acknowledges/);
    const pool = await runCli([...consumeArgs, '--pool', '3']);
    assert.equal(pool.code, 2);
    assert.match(pool.stderr, /unknown option '--pool'/);
    const scheme = await runCli(['consume', '--from', nats.url, '--to', 'mysql://127.0.0.1/metrics']);
    assert.equal(scheme.code, 2);
    assert.match(scheme.stderr, /give PostgreSQL as postgres:/);
    const sink = await runCli(['verify', '--sink', nats.url]);
    assert.equal(sink.code, 2);
    await init(nats.url);
  });
});
