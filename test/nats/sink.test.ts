/** The stream as a sink of the log, against a real nats-server. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { logIdOf } from '../../src/export/log-id.ts';
import type { CommitRange } from '../../src/export/sink.ts';
import { parseNatsAddress } from '../../src/nats/address.ts';
import { openNats } from '../../src/nats/connect.ts';
import { NatsSink } from '../../src/nats/sink.ts';
import { initStream } from '../../src/nats/stream.ts';
import { onEnd } from '../support/clean-up.ts';
import { record } from '../support/damage.ts';
import { startNats, withJetStream } from '../support/nats-server.ts';
import { requireTool } from '../support/tools.ts';

const MINUTE_MS = 60_000;

function rangeOf(commit: number): CommitRange {
  const lines = Buffer.from('{}\n');
  const place = { segment: 1, offset: 0 };
  const one = {
    kind: 'commit',
    commit,
    crc32: 100 + commit,
    ...place,
    bytes: lines.length,
    lineCount: 1,
    lines,
  } as const;
  const sizes = { lineCount: 1, bytes: lines.length };
  return { after: commit - 1, last: commit, end: place, commits: [one], damaged: [], ...sizes };
}

async function ship(sink: NatsSink, ...commits: number[]): Promise<void> {
  for (const commit of commits) await (await sink.prepare(rangeOf(commit))).ship();
}

type Sinks = ((writer: string) => NatsSink) & {
  /** Deletes all messages of the log from the stream, as an operator may. */
  purge(): Promise<unknown>;
};

/** Makes sinks of one log and one stream, each as a process of its own would. */
async function started(t: TestContext, clock?: () => number): Promise<Sinks> {
  const { dataDir } = await record([1]);
  onEnd(t, () => fs.rmSync(dataDir, { recursive: true }));
  const { url } = await startNats(t);
  const address = parseNatsAddress(url, '--to');
  const link = await openNats(address, {}, 'test');
  await initStream(link, address, { replicas: 1, maxBytes: 1 << 28 });
  await link.close();
  const context = { log: logIdOf(dataDir), logger: pino({ level: 'silent' }), registry: new Registry() };
  const sinkOf = (writer: string): NatsSink => {
    const timed = clock === undefined ? {} : { clock };
    const sink = new NatsSink({ address, files: {}, dataDir, ...timed }, { ...context, writer });
    onEnd(t, () => sink.close());
    return sink;
  };
  const purge = (): Promise<unknown> =>
    withJetStream(url, (jsm) =>
      jsm.streams.purge(address.stream, { filter: `metricsstream.${context.log}` }),
    );
  return Object.assign(sinkOf, { purge });
}

describe('the stream as a sink', { skip: requireTool('nats-server') }, () => {
  it('keeps the place of a rewind when it connects again before it has sent anything', async (t) => {
    const sinkOf = await started(t);
    const first = sinkOf('first');
    assert.equal(await first.connect(), null);
    await ship(first, 1, 2, 3);
    const second = sinkOf('second');
    assert.equal((await second.connect())?.commit, 3);
    assert.equal(await second.rewind(1), 1);
    assert.deepEqual(await second.connect(), { commit: 1, segment: 0, crc32: null, writer: 'first' });
    await ship(second, 2);
    assert.deepEqual(await second.connect(), { commit: 2, segment: 0, crc32: 102, writer: 'second' });
  });

  it('tells what the stream holds beside shipping, also after a purge', async (t) => {
    const sinkOf = await started(t);
    const [one, other] = [sinkOf('one'), sinkOf('other')];
    await one.connect();
    assert.equal(await one.cursor(), null);
    await ship(one, 1, 2);
    assert.equal((await one.cursor())?.commit, 2);
    assert.equal((await one.cursor())?.crc32, 102);
    await other.connect();
    await ship(other, 3);
    await ship(other, 4);
    await one.connect();
    assert.equal((await one.cursor())?.commit, 4);
    await sinkOf.purge();
    assert.equal(await one.cursor(), null);
  });

  it('calls the last commit durable some minutes after it was acknowledged, whatever wall time shows', async (t) => {
    let nowMs = performance.now();
    const sink = (await started(t, () => nowMs))('one');
    await sink.connect();
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    for (const commit of [1, 2, 3]) {
      await ship(sink, commit);
      await sink.maintain();
    }
    nowMs += 4 * MINUTE_MS;
    t.mock.timers.tick(60 * MINUTE_MS);
    await sink.maintain();
    assert.equal(sink.durableCommit, 0);
    nowMs += 2 * MINUTE_MS;
    await sink.maintain();
    assert.equal(sink.durableCommit, 3);
  });

  it('does not call a message old because the clock of this machine is ahead', async (t) => {
    const sinkOf = await started(t);
    const first = sinkOf('first');
    await first.connect();
    await ship(first, 1);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 10 * MINUTE_MS });
    const second = sinkOf('second');
    assert.equal((await second.connect())?.commit, 1);
    assert.equal(second.durableCommit, 0);
  });
});
