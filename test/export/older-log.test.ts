/** A log that was restored from an older copy than its sink: none of its commits is skipped without a word. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { readCursorFile } from '../../src/storage/cursor-file.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { damageCommit, record, segmentPaths } from '../support/damage.ts';
import { Bench, failsWith } from '../support/exporter-bench.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const NEVER_MS = 3_600_000;
const PADDING = 400;
const ANOTHER =
  /holds the log up to commit 5, but .* has another commit of this number: .*id\. Then export --from the first commit since\.$/;

async function append(dataDir: string, ...ids: readonly number[]): Promise<void> {
  const rig = new WriterRig({ dataDir });
  for (const id of ids) rig.store(line(id));
  await rig.stop();
}

/** A log of five commits in one segment, and a copy that was made of it after the second. */
async function forked(test: TestContext): Promise<{ dataDir: string; copy: string }> {
  const rig = new WriterRig();
  const { dataDir } = rig;
  const copy = `${dataDir}-copy`;
  for (const id of [0, 1]) rig.store(line(id));
  fs.cpSync(dataDir, copy, { recursive: true });
  onEnd(test, () => fs.rmSync(copy, { recursive: true }));
  for (const id of [2, 3, 4]) rig.store(line(id));
  await rig.stop();
  return { dataDir, copy };
}

/** A log of five commits, open, and what puts a copy with the first two in its place, and back. */
function exchangeable(test: TestContext) {
  const rig = new WriterRig();
  const { dataDir } = rig;
  const [copy, other] = [`${dataDir}-copy`, `${dataDir}-other`];
  for (const id of [0, 1]) rig.store(line(id));
  fs.cpSync(dataDir, copy, { recursive: true });
  onEnd(test, () => fs.rmSync(copy, { recursive: true }));
  for (const id of [2, 3, 4]) rig.store(line(id));
  const exchange = () => {
    fs.renameSync(dataDir, other);
    fs.renameSync(copy, dataDir);
    fs.renameSync(other, copy);
  };
  return { rig, dataDir, exchange };
}

/** The server locks the directory that is there now, and continues in it. */
function followed(rig: WriterRig): void {
  rig.directory.publish(fs.statSync(rig.dataDir));
  rig.turn(2_000);
}

/** In one turn of the event loop: no exporter sees the directory without files. */
function restore(dataDir: string, copy: string): void {
  fs.rmSync(dataDir, { recursive: true });
  fs.cpSync(copy, dataDir, { recursive: true });
}

describe('the exporter of a log that was restored from an older copy', () => {
  it('ends while the log ends before the sink, until it has an id of its own', async (test) => {
    const { dataDir, commits } = await record([1, 1]);
    const bench = new Bench(test, dataDir);
    const old = `${dataDir}-old`;
    fs.cpSync(dataDir, old, { recursive: true });
    await append(dataDir, 10, 11, 12);
    await bench.start().ended;
    const refusal = /holds the log up to commit 5, but .* ends at commit 2: .*id\. Then export --from 3/;
    await assert.rejects(bench.start({ dataDir: old }).ended, failsWith('SINK_FAILED', refusal));
    for (const name of ['log.json', '.log.json']) fs.rmSync(`${old}/${name}`);
    await append(old, 20, 21, 22);
    const other = new Bench(test, old).start({ start: 2 });
    await other.ended;
    assert.equal(other.sink.text(), [20, 21, 22].map((id) => line(id)).join(''));
    // Without its last segment, the server continues the log with new numbers.
    fs.rmSync(segmentPaths(dataDir).at(-1)!);
    const same = bench.start();
    await same.ended;
    assert.equal(same.sink.text(), commits.join('') + [10, 11, 12].map((id) => line(id)).join(''));
  });

  for (const knowsSeals of [true, false])
    it(`ends once the log has passed the sink, ${knowsSeals ? 'by the seal' : 'by the segment'}`, async (test) => {
      const { dataDir, copy } = await forked(test);
      const bench = new Bench(test, dataDir);
      await bench.start().ended;
      await append(copy, 20, 21, 22, 23);
      for (const start of [null, 3]) {
        const run = bench.start({ dataDir: copy, start });
        run.sink.knowsSeals = knowsSeals;
        await assert.rejects(run.ended, failsWith('SINK_FAILED', ANOTHER));
        assert.equal(run.sink.text(), [0, 1, 2, 3, 4].map((id) => line(id)).join(''));
        // Retention keeps the new commits.
        assert.equal(readCursorFile(copy, 'files')?.commit, 0);
      }
    });

  it('ends also while it has nothing to ship, and its reader is past the new commits', async (test) => {
    const { dataDir } = await record([1, 1]);
    const copy = `${dataDir}-copy`;
    fs.cpSync(dataDir, copy, { recursive: true });
    onEnd(test, () => fs.rmSync(copy, { recursive: true }));
    const rig = new WriterRig({ dataDir });
    for (const id of [2, 3, 4]) rig.store(line(id, PADDING));
    const run = new Bench(test, dataDir).start({ once: false, watchMs: 1 });
    await eventually('shipped', () => run.sink.ranges().at(-1)?.last === 5);
    await rig.stop();
    restore(dataDir, copy);
    await append(dataDir, 20, 21, 22);
    await assert.rejects(run.ended, failsWith('SINK_FAILED', ANOTHER));
  });

  it('ends before the log has reached the number of the sink', async (test) => {
    const { dataDir, copy } = await forked(test);
    const run = new Bench(test, dataDir).start({ once: false, watchMs: 1 });
    await eventually('shipped', () => run.sink.ranges().at(-1)?.last === 5);
    restore(dataDir, copy);
    await assert.rejects(run.ended, failsWith('SINK_FAILED', /but .* ends at commit 2: /));
  });

  it('goes on while the server has not yet followed a copy in the place of its directory', async (test) => {
    const { rig, dataDir, exchange } = exchangeable(test);
    const run = new Bench(test, dataDir).start({ once: false, watchMs: 1 });
    await eventually('shipped', () => run.sink.ranges().at(-1)?.last === 5);
    const follow = () => followed(rig);
    const looks = [exchange, exchange, exchange, follow, () => rig.store(line(5))];
    run.sink.beforeCursor = () => looks.shift()?.();
    await Promise.race([run.ended, eventually('shipped', () => run.sink.ranges().at(-1)?.last === 6)]);
    assert.deepEqual(looks, []);
    assert.equal(run.sink.text(), [0, 1, 2, 3, 4, 5].map((id) => line(id)).join(''));
    await run.stop();
    await rig.stop();
  });

  it('trusts a log again that it has shipped from, although that seemed to end early', async (test) => {
    const { rig, dataDir, exchange } = exchangeable(test);
    const run = new Bench(test, dataDir).start({ once: false, watchMs: 1 });
    await eventually('shipped', () => run.sink.ranges().at(-1)?.last === 5);
    let looks = 0;
    run.sink.beforeCursor = () => {
      if (looks++ === 0) exchange();
    };
    // Export looks a second time only after this maintenance.
    const maintained = new Promise<void>((resolve) => {
      run.sink.nextMaintenance = async () => {
        if (looks === 0 || rig.segments().length > 1) return;
        await eventually('retention keeps all', () => readCursorFile(dataDir, 'files')?.commit === 0);
        followed(rig);
        rig.store(line(5));
        await eventually('retention may go on', () => readCursorFile(dataDir, 'files')?.commit === 6);
        resolve();
      };
    });
    await Promise.race([run.ended, maintained]);
    assert.equal(looks, 1);
    await run.stop();
    await rig.stop();
  });

  it('ends at the first new commit that it reads, although it has shipped none before', async (test) => {
    const { dataDir, copy } = await forked(test);
    const bench = new Bench(test, dataDir);
    await bench.start().ended;
    const run = bench.start({ once: false, watchMs: NEVER_MS });
    await eventually('it waits', () => readCursorFile(dataDir, 'files')?.state === 'waiting');
    restore(dataDir, copy);
    await append(dataDir, 20, 21, 22, 23);
    await assert.rejects(
      run.ended,
      failsWith('LOG_INCOMPLETE', /commit 3 follows commit 5: a segment is out/),
    );
  });

  it('goes on where the log has only lost the last commit of the sink', async (test) => {
    const { dataDir, paths, commits } = await record([1], [1]);
    const bench = new Bench(test, dataDir);
    const run = bench.start({ once: false, watchMs: 1 });
    await eventually('shipped', () => run.sink.text() === commits.join(''));
    fs.rmSync(paths[1]!);
    const before = run.sink.maintained.length;
    await eventually('it has looked', () => run.sink.maintained.length > before + 1);
    await append(dataDir, 50);
    const more = commits.join('') + line(50);
    await eventually('shipped', () => run.sink.text() === more);
    await run.stop();
    damageCommit({ dataDir, commits, paths: segmentPaths(dataDir) }, 1, 0);
    await bench.start().ended;
    await append(dataDir, 60);
    const last = bench.start();
    await last.ended;
    assert.equal(last.sink.text(), more + line(60));
  });
});
