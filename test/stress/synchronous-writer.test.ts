/** The synchronous writer under several concurrent serving threads, beside its own writer thread. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Bell } from '../../src/base/bell.ts';
import { Control, DISK_OK } from '../../src/base/control.ts';
import { WRITER } from '../../src/telemetry/counters.ts';
import { readHistogram, WRITER_HISTOGRAM_NAMES, WRITER_HISTOGRAMS } from '../../src/telemetry/histogram.ts';
import { createMemory } from '../../src/writer/synchronous/synchronous.ts';
import type { WriterConfig, WriterMessage } from '../../src/writer/writer.ts';
import { segmentPaths, verified } from '../support/damage.ts';
import { memoryDirectory } from '../support/server-process.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import { writerThreadData } from '../support/writer-rig.ts';
import type { Served, Serving } from './synchronous-writer-worker.ts';

const ENTRY = fileURLToPath(new URL('../../src/threads/writer-worker.js', import.meta.url));
const SERVING = new URL('./synchronous-writer-worker.js', import.meta.url);
const THREADS = 4;
/** Threads that come and go: each wave uses the lanes of the last. */
const WAVES = 3;
const ID_STRIDE = 10_000_000;

function idsOf(dataDir: string): number[] {
  return segmentPaths(dataDir).flatMap((path) =>
    [...fs.readFileSync(path, 'latin1').matchAll(/"value":(\d+)/g)].map((match) => Number(match[1])),
  );
}

/** Checks that each thread's lines exist once and in its order; reports a gap by its first line. */
function assertEachInOrder(ids: readonly number[], results: readonly Served[]): void {
  for (const [thread, { lines }] of results.entries()) {
    const own = ids.filter((id) => Math.floor(id / ID_STRIDE) === thread);
    const wrong = own.findIndex((id, index) => id !== thread * ID_STRIDE + index);
    assert.deepEqual({ thread, lines: own.length, wrong }, { thread, lines, wrong: -1 });
  }
}

for (const [ack, config, perPublish] of [
  ['synced', { segmentBytes: 200_000 }, 1],
  ['written', { segmentBytes: 1_000_000, syncIntervalMs: 10 }, 1],
  ['written', { segmentBytes: 60_000, segmentAgeMs: 20, syncIntervalMs: 10 }, 20],
] as const satisfies readonly (readonly [WriterConfig['ack'], Partial<WriterConfig>, number])[]) {
  const name = `${THREADS} threads, ${perPublish} requests a publish, ${JSON.stringify(config)}, ${ack}`;
  test(`${name}: every line once and in order, seals sound, counters exact`, async (t) => {
    // In memory: threads that wait for a disk beyond a bound refuse lines, and here none may.
    const dataDir = memoryDirectory(t);
    const data = writerThreadData(dataDir, createMemory(THREADS, 1 << 17), { ...config, ack, phase: 1 });
    const writer = new Worker(ENTRY, { workerData: data });
    const messages: WriterMessage[] = [];
    writer.on('message', (message: WriterMessage) => messages.push(message));
    const exited = once(writer, 'exit');
    await once(writer, 'message');

    const requests = Math.ceil((stressMs * (ack === 'synced' ? 0.1 : 0.5)) / perPublish) * perPublish;
    const results: Served[] = [];
    for (let wave = 0; wave < WAVES; wave++) {
      const inputs = Array.from({ length: THREADS }, (_, lane) => {
        return { data, lane, firstId: (wave * THREADS + lane) * ID_STRIDE, requests, perPublish };
      });
      results.push(...(await runThreads<Serving, Served>(SERVING, inputs)));
    }
    const control = new Control(data.control);
    assert.equal(control.disk, DISK_OK);
    control.stopWriter();
    new Bell(data.bell).ring();
    await exited;
    assert.deepEqual(messages, [{ kind: 'ready' }]);

    assert.ok(results.every(({ notStored }) => notStored === 0));
    assertEachInOrder(idsOf(dataDir), results);
    // Verify also finds gaps in the commit numbers.
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    const counters = new Float64Array(data.counters);
    const commits = results.reduce((sum, result) => sum + result.requests, 0);
    const lines = results.reduce((sum, result) => sum + result.lines, 0);
    const bytes = segmentPaths(dataDir).reduce((sum, path) => sum + fs.statSync(path).size, 0);
    assert.deepEqual(
      [WRITER.commits, WRITER.lines_written, WRITER.bytes_written, WRITER.unsynced_lines_now].map(
        (slot) => counters[slot],
      ),
      [commits, lines, bytes, 0],
    );
    assert.equal(counters[WRITER.segments_created], segmentPaths(dataDir).length);
    assert.ok(segmentPaths(dataDir).length > 2, 'segments were rotated');
    const count = (histogram: number) =>
      readHistogram(data.histograms, WRITER_HISTOGRAM_NAMES, histogram).count;
    assert.equal(count(WRITER_HISTOGRAMS.write_ns), commits);
    assert.equal(count(WRITER_HISTOGRAMS.sync_ns), counters[WRITER.syncs]);
    if (ack === 'synced') assert.equal(counters[WRITER.syncs], commits);
    else assert.ok(counters[WRITER.syncs]! < commits);
    t.diagnostic(`${commits} commits, ${lines} lines, ${segmentPaths(dataDir).length} segments`);
  });
}
