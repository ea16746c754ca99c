/** `consume` as operators run it: server, export, nats-server, PostgreSQL. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import pg from 'pg';
import { freePort } from '../../load-test/free-port.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { bodyOf, metric } from '../support/bodies.ts';
import { onEnd } from '../support/clean-up.ts';
import { ROOT, readDeployed } from '../support/deploy-files.ts';
import { withJetStream } from '../support/nats-server.ts';
import { assertSame, requirePipeline, rowCount, startPipeline, untilRows } from '../support/pipeline.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import { memoryDirectory, runCli, startCli, startServer } from '../support/server-process.ts';

const skip = requirePipeline();

describe('consume', { skip }, () => {
  it('stores every metric once: small commits, and large ones in parts', async (t) => {
    const { nats, postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const large = Array.from({ length: 9_000 }, (_, k) => metric(`large.${k}`, k));
    for (let k = 0; k < 20; k++) assertAccepted(await post(server.port, bodyOf([metric(`small.${k}`)])), 1);
    assertAccepted(await post(server.port, bodyOf(large)), large.length);
    await server.stop();
    const shipped = await runCli([...exportArgs(server.dataDir), '--once']);
    assert.equal(shipped.code, 0, shipped.stdout + shipped.stderr);
    const consume = startCli(t, [...consumeArgs, '--metrics-port', '0']);
    await untilRows(postgres, large.length + 20);
    await assertSame(postgres, server.dataDir);
    await consume.until((lines) => lines.some((line) => line.includes('serving metrics')));
    const [, port] = /"port":(\d+)/.exec(consume.lines.find((line) => line.includes('serving metrics'))!)!;
    await eventually('the queue is empty in the metrics', async () => {
      const { body } = await fetchOnce(Number(port), { path: '/metrics' });
      return /^metricsstream_consume_unacknowledged_messages 0$/m.test(body.toString());
    });
    const exposed = (await fetchOnce(Number(port), { path: '/metrics' })).body.toString();
    const documented = readFileSync(join(ROOT, 'docs/nats.md'), 'utf8');
    const names = [...exposed.matchAll(/^# TYPE (metricsstream_consume_\w+) /gm)].map(
      ([, name = '']) => name,
    );
    assert.ok(names.length > 15);
    for (const name of names) assert.ok(documented.includes(`| \`${name}\` |`), `${name} in docs/nats.md`);
    const rules = readDeployed('prometheus', 'alerts.yml').match(/metricsstream_consume_\w+/g) ?? [];
    assert.ok(rules.length > 3);
    for (const name of rules) assert.ok(names.includes(name), name);
    await eventually('it is healthy, with four workers', async () => {
      const health = await fetchOnce(Number(port), { path: '/health' });
      return health.status === 200 && (health.json().workers as unknown[]).length === 4;
    });
    consume.kill('SIGTERM');
    assert.deepEqual(await consume.exited, { code: 0, signal: null });
    const left = await withJetStream(nats.url, (jsm) => jsm.consumers.info('METRICSSTREAM', 'metricsstream'));
    assert.equal(left.num_pending + left.num_ack_pending, 0);
    assert.equal(await rowCount(postgres), large.length + 20);
  });

  it('stores everything around a metric that fits no message, and records that one', async (t) => {
    const { postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    const long = { ...metric('long'), tags: { text: 'x'.repeat(2 << 20) } };
    assertAccepted(await post(server.port, bodyOf([metric('before'), long, metric('after')])), 3);
    assertAccepted(await post(server.port, bodyOf([metric('next')])), 1);
    await server.stop();
    const shipped = await runCli([...exportArgs(server.dataDir), '--once']);
    assert.equal(shipped.code, 0, shipped.stdout);
    assert.match(
      shipped.stdout,
      /"line":1,.*not shipped: a metric of \d+ bytes, .*; raise max_payload of nats-server/,
    );
    startCli(t, consumeArgs);
    await untilRows(postgres, 3);
    // Its message may be stored last.
    const recorded = () => postgres.query('SELECT line FROM ms_quarantine');
    await eventually('the long line is recorded', async () => (await recorded()).length > 0);
    await assertSame(postgres, server.dataDir);
    assert.deepEqual(await recorded(), [{ line: 1 }]);
  });

  it('shows its progress while messages wait, and itself in the list of connections of PostgreSQL', async (t) => {
    const { postgres, consumeArgs, exportArgs } = await startPipeline(t);
    const server = await startServer(t, { args: ['--workers', '1'] });
    assertAccepted(await post(server.port, bodyOf([metric('m')])), 1);
    await server.stop();
    assert.equal((await runCli([...exportArgs(server.dataDir), '--once'])).code, 0);
    const holder = new pg.Client({ connectionString: postgres.url });
    await holder.connect();
    onEnd(t, () => holder.end());
    await holder.query('BEGIN; LOCK TABLE ms_applied');
    const consume = startCli(t, consumeArgs);
    await consume.until((lines) =>
      lines.some((line) => line.includes('0 messages with 0 metrics stored, 1 messages wait')),
    );
    await eventually('its transaction waits for the lock', async () => {
      const waiting = await postgres.query(
        "SELECT FROM pg_stat_activity WHERE application_name = 'metricsstream consume' AND wait_event_type = 'Lock'",
      );
      return waiting.length === 1;
    });
    await holder.query('ROLLBACK');
    await untilRows(postgres, 1);
  });

  it('exits 1 for a consumer that somebody made for other purposes', async (t) => {
    const { nats, consumeArgs } = await startPipeline(t);
    const more = { ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All };
    for (const [durable, config, reason] of [
      ['push', { deliver_subject: 'x' }, 'pushes'],
      ['careless', { ack_policy: AckPolicy.None }, 'has the ack policy none'],
      ['late', { deliver_policy: DeliverPolicy.New }, 'delivers new'],
      ['partial', { filter_subject: 'metricsstream.one' }, 'filters metricsstream.one'],
      ['bare', { headers_only: true }, 'delivers headers only'],
    ] as const) {
      await withJetStream(nats.url, (jsm) =>
        jsm.consumers.add('METRICSSTREAM', { durable_name: durable, ...more, ...config }),
      );
      const { code, stderr } = await runCli([...consumeArgs, '--durable', durable]);
      assert.equal(code, 1, stderr);
      assert.equal(
        stderr,
        `metricsstream: the consumer ${durable} of the stream METRICSSTREAM ${reason}: delete it, or name another with --durable\n`,
      );
    }
  });

  it('is unhealthy while it cannot open the stream, and says why', async (t) => {
    const [to, from] = [await freePort(), await freePort()];
    const urls = ['--from', `nats://127.0.0.1:${from}`, '--to', `postgres://127.0.0.1:${to}/x`];
    const consume = startCli(t, ['consume', ...urls, '--metrics-port', '0']);
    await consume.until((lines) => lines.some((line) => line.includes('trying again')));
    const [, port] = /"port":(\d+)/.exec(consume.lines.find((line) => line.includes('serving metrics'))!)!;
    const { status, json } = await fetchOnce(Number(port), { path: '/health' });
    assert.equal(status, 503);
    assert.match(String(json().reason), /^cannot reach NATS at /);
    consume.kill('SIGTERM');
    assert.deepEqual(await consume.exited, { code: 0, signal: null });
  });

  it('shows its queue latency in a load test beside that of the API', async (t) => {
    const { postgres, consumeArgs, exportArgs } = await startPipeline(t);
    // Requests must arrive one by one, also while the disk stalls: export samples its latency once a second.
    const server = await startServer(t, { args: ['--workers', '1'], dataDir: memoryDirectory(t) });
    const port = async (args: readonly string[]): Promise<string> => {
      const { lines, until } = startCli(t, [...args, '--metrics-port', '0']);
      const isServing = (line: string): boolean => line.includes('serving metrics');
      await until((all) => all.some(isServing));
      return /"port":(\d+)/.exec(lines.find(isServing)!)![1]!;
    };
    const urls = [await port(exportArgs(server.dataDir)), await port(consumeArgs)].flatMap((number) => [
      '--queue-metrics',
      `http://127.0.0.1:${number}/metrics`,
    ]);
    const load = ['load', String(server.port), '2', '200', '10', '--batch', '5'];
    const { code, stdout, stderr } = await runCli([...load, ...urls]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /API \(due → 2xx answer\) +400 /);
    assert.match(stdout, /queue \(log → export\), at most +[1-9]/);
    assert.match(stdout, /queue \(log → consume\), at most +[1-9]/);
    await untilRows(postgres, 2_000);
    const wrong = await runCli([...load, '--queue-metrics', 'http://127.0.0.1:1/']);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /--queue-metrics http:\/\/127\.0\.0\.1:1\/: /);
  });
});
