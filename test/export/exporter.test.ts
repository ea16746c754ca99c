/** The loop that ships the log, over real segments and a sink of files that fails on request. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Exporter } from '../../src/export/exporter.ts';
import { logIdOf } from '../../src/export/log-id.ts';
import { ExportMetrics } from '../../src/export/metrics.ts';
import { SinkError } from '../../src/export/sink.ts';
import { readCursorFile } from '../../src/storage/cursor-file.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { damageCommit, record } from '../support/damage.ts';
import { DirectorySink } from '../support/directory-sink.ts';
import { Bench, failsWith, OPTIONS, SILENT } from '../support/exporter-bench.ts';
import { memoryDirectory } from '../support/server-process.ts';
import { line, temporaryDirectory, WriterRig } from '../support/writer-rig.ts';

const many = (runs: number, commits: number): number[][] =>
  Array.from({ length: runs }, (_, run) => Array.from({ length: commits }, (_, k) => 1 + ((run + k) % 5)));

describe('the exporter', () => {
  it('ships every commit once and in order, in ranges without gaps, and a second run ships nothing', async (test) => {
    const { dataDir, commits } = await record(...many(4, 30));
    const bench = new Bench(test, dataDir);
    const run = bench.start();
    await run.ended;
    assert.equal(run.sink.text(), commits.join(''));
    const ranges = run.sink.ranges();
    assert.ok(ranges.length > 2, `${ranges.length} ranges`);
    for (const [index, { after }] of ranges.entries()) assert.equal(after, ranges[index - 1]?.last ?? 0);
    const again = bench.start();
    await again.ended;
    assert.equal(again.sink.ranges().length, ranges.length);
    const cursor = readCursorFile(dataDir, 'files');
    assert.equal(cursor?.commit, 120);
    assert.equal(cursor.log, logIdOf(dataDir));
    assert.equal(cursor.state, 'stopped');
    assert.equal(cursor.lagBytes, 0);
  });

  it('derives no signal for each range, because Node keeps every one', async (test) => {
    const { dataDir } = await record(...many(4, 30));
    const any = test.mock.method(AbortSignal, 'any');
    const run = new Bench(test, dataDir).start({ rangeBytes: 1_024 });
    await run.ended;
    const { length } = run.sink.ranges();
    assert.ok(length > 2 * any.mock.callCount(), `${any.mock.callCount()} signals for ${length} ranges`);
  });

  it('follows the log across rotation and a restart of the writer', async (test) => {
    const rig = new WriterRig({ config: { segmentBytes: 2_000 } });
    const { dataDir } = rig;
    const bench = new Bench(test, dataDir);
    let expected = line(0);
    rig.store(line(0));
    const run = bench.start({ once: false });
    for (let id = 1; id < 30; id++) {
      rig.store(line(id, 300));
      expected += line(id, 300);
      if (id % 10 === 0) await eventually('shipped', () => run.sink.text() === expected);
    }
    await rig.stop();
    const again = new WriterRig({ dataDir });
    again.store(line(99));
    expected += line(99);
    await eventually('shipped', () => run.sink.text() === expected);
    await run.stop();
    await again.stop();
    assert.match(await run.metrics.registry.metrics(), /export_metrics_total\{sink="files"\} 31\n/);
  });

  for (const failure of ['before', 'after'] as const) {
    it(`ships every commit once when tries fail ${failure} the sink has stored`, async (test) => {
      const { dataDir, commits } = await record(...many(2, 40));
      const run = new Bench(test, dataDir).start();
      let tries = 0;
      run.sink.nextFailure = () => (++tries % 3 === 0 ? failure : null);
      await run.ended;
      assert.ok(tries > 3);
      assert.equal(run.sink.text(), commits.join(''));
    });
  }

  it('sends again what the sink had stored and then lost', async (test) => {
    const { dataDir, commits } = await record(...many(2, 40));
    const bench = new Bench(test, dataDir);
    const run = bench.start();
    let tries = 0;
    run.sink.nextFailure = () => {
      if (++tries !== 4) return null;
      run.sink.loseLast(2);
      return 'before';
    };
    await run.ended;
    assert.equal(run.sink.text(), commits.join(''));
    assert.match(await run.metrics.registry.metrics(), /resent_commits_total\{sink="files"\} [1-9]/);
  });

  it('sends every range again as it was, however much the log has got meanwhile', async (test) => {
    const rig = new WriterRig();
    const run = new Bench(test, rig.dataDir).start({ once: false });
    run.sink.durableMax = 0;
    let failures = 0;
    let isAway = false;
    run.sink.nextFailure = () => {
      if (isAway) failures++;
      return isAway ? 'before' : null;
    };
    const failed = async (): Promise<void> => {
      const before = failures;
      // The first of the two may have read the log before the last commit.
      await eventually('failed', () => failures >= before + 2);
    };
    let expected = '';
    const store = (id: number): void => {
      rig.store(line(id));
      expected += line(id);
    };
    const shipped = (): Promise<void> => eventually('shipped', () => run.sink.text() === expected);
    for (const id of [1, 2, 3]) {
      store(id);
      await shipped();
    }
    isAway = true;
    store(4);
    await failed();
    run.sink.loseLast(2);
    for (const id of [5, 6]) store(id);
    await failed();
    isAway = false;
    await shipped();
    await run.stop();
    await rig.stop();
    const ranges = run.sink.ranges().map(({ after, last }) => `${after}-${last}`);
    assert.deepEqual(ranges.slice(0, 4), ['0-1', '1-2', '2-3', '3-4']);
  });

  it('sends again what the sink has lost while no metrics came', async (test) => {
    const { dataDir, commits } = await record(...many(2, 40));
    const run = new Bench(test, dataDir).start({ once: false, watchMs: 1 });
    const whole = commits.join('');
    await eventually('shipped', () => run.sink.text() === whole);
    run.sink.loseLast(2);
    assert.notEqual(run.sink.text(), whole);
    await eventually('shipped again', () => run.sink.text() === whole);
    await run.stop();
    assert.match(await run.metrics.registry.metrics(), /resent_commits_total\{sink="files"\} [1-9]/);
  });

  it('is fenced when another exporter has moved the cursor, and names it', async (test) => {
    const { dataDir, commits } = await record(...many(2, 40));
    const bench = new Bench(test, dataDir);
    const first = bench.start({ once: false });
    await eventually('shipped', () => first.sink.text() === commits.join(''));
    const rig = new WriterRig({ dataDir });
    rig.store(line(500));
    // One of the two loses the race for this commit: it must end, and the commit must be there once.
    const second = bench.start({ once: false, writer: 'two' });
    await eventually('shipped', () => second.sink.text() === commits.join('') + line(500));
    let fenced: unknown;
    for (const { ended } of [first, second]) {
      ended.catch((error: unknown) => {
        fenced ??= error;
      });
    }
    // The first commit that the second one loses could be one that was on its way when it started.
    let lines = line(500);
    for (let value = 501; fenced === undefined; value++) {
      lines += line(value);
      rig.store(line(value));
      await eventually('shipped', () => second.sink.text() === commits.join('') + lines);
    }
    assert.ok(fenced instanceof SinkError);
    assert.match(
      fenced.message,
      /^fenced: exporter (one|two) has moved the cursor of log .* from commit \d+ to \d+/,
    );
    rig.store(line(500));
    await eventually('shipped', () => second.sink.text() === commits.join('') + lines + line(500));
    await Promise.allSettled([first.stop(), second.stop()]);
    await rig.stop();
  });

  for (const [lateCount, isFenced] of [
    [1, false],
    [2, true],
  ] as const) {
    const outcome = isFenced ? 'is fenced by a second one' : 'goes on behind it';
    it(`finds a range of its predecessor stored late, and ${outcome}`, async (test) => {
      const { dataDir, commits } = await record(...many(2, 40));
      const bench = new Bench(test, dataDir);
      const first = bench.start();
      await first.ended;
      const onTheirWay = first.sink.ranges().slice(-2);
      const elsewhere = temporaryDirectory();
      onEnd(test, () => fs.rmSync(elsewhere, { recursive: true }));
      for (const { name } of onTheirWay) fs.renameSync(join(bench.sinkDir, name), join(elsewhere, name));
      const second = bench.start({ writer: 'two' });
      const late = onTheirWay.slice(0, lateCount);
      second.sink.nextFailure = () => {
        const range = late.shift();
        if (range !== undefined) fs.renameSync(join(elsewhere, range.name), join(bench.sinkDir, range.name));
        return null;
      };
      if (isFenced) await assert.rejects(second.ended, /: fenced: exporter one has moved the cursor/);
      else await second.ended;
      assert.equal(second.sink.text(), commits.join(''));
    });
  }

  it('skips a damaged commit and records it', async (test) => {
    const recorded = await record([1, 1, 1, 1], [1, 1]);
    damageCommit(recorded, 0, 1);
    const run = new Bench(test, recorded.dataDir).start();
    await run.ended;
    const { commits } = recorded;
    assert.equal(run.sink.text(), [commits[0], ...commits.slice(2)].join(''));
    assert.deepEqual(run.sink.quarantine, ['2-2: its CRC does not match']);
    assert.equal(run.sink.ranges().at(-1)?.last, 6);
    assert.match(await run.metrics.registry.metrics(), /damaged_commits_total\{sink="files"\} 1\n/);
  });

  it('stops where commits are missing, and goes on behind them only when told to', async (test) => {
    const { dataDir, commits, paths } = await record([1, 1], [1, 1], [1]);
    fs.rmSync(paths[1]!);
    const bench = new Bench(test, dataDir);
    const run = bench.start();
    await assert.rejects(
      run.ended,
      failsWith('LOG_INCOMPLETE', /^metrics-00000003.* commits 3 to 4 are missing.*--accept-missing/),
    );
    assert.equal(readCursorFile(dataDir, 'files')?.state, 'failed');
    const told = bench.start({ acceptMissing: true });
    await told.ended;
    assert.equal(told.sink.text(), commits[0]! + commits[1]! + commits[4]!);
    assert.deepEqual(told.sink.quarantine, ['3-4: missing']);
  });

  it('with once, names commits at the end of the log that no segment holds', async (test) => {
    const { dataDir, paths, commits } = await record([1, 1], [1]);
    fs.rmSync(paths[1]!);
    const bench = new Bench(test, dataDir);
    await assert.rejects(
      bench.start().ended,
      failsWith('LOG_INCOMPLETE', /^log\.json: commit 3 is missing at the end of the log.*--accept-missing/),
    );
    const told = bench.start({ acceptMissing: true });
    await told.ended;
    assert.equal(told.sink.text(), commits[0]! + commits[1]!);
  });

  it('with once, asks a sink again that does not answer at first, but none that it cannot reach', async (test) => {
    const { dataDir } = await record([1]);
    const bench = new Bench(test, dataDir);
    for (const isUnanswered of [false, true]) {
      const run = bench.start();
      const connect = run.sink.connect.bind(run.sink);
      let refusals = 0;
      run.sink.connect = () => {
        if (refusals === 2) return connect();
        refusals++;
        return Promise.reject(new SinkError('retry', 'too late', { isUnanswered }));
      };
      if (isUnanswered) await run.ended;
      else await assert.rejects(run.ended, failsWith('SINK_FAILED', /too late/));
      assert.equal(refusals, isUnanswered ? 2 : 1);
    }
    assert.equal(readCursorFile(dataDir, 'files')?.commit, 1);
  });

  it('ends when another log takes the place of its own', async (test) => {
    const { dataDir } = await record([1]);
    const other = await record([1]);
    const run = new Bench(test, dataDir).start({ once: false });
    await eventually('shipped', () => run.sink.ranges().length === 1);
    for (const name of ['log.json', '.log.json'])
      fs.copyFileSync(`${other.dataDir}/${name}`, `${dataDir}/${name}`);
    await assert.rejects(run.ended, failsWith('LOG_INCOMPLETE', /now holds the log .* in place of/));
    fs.rmSync(other.dataDir, { recursive: true });
  });

  it('ends when another exporter with its name ships to another place', async (test) => {
    // A disk that stands still between the looks at the file would make the first one seem dead.
    const dataDir = memoryDirectory(test);
    const rig = new WriterRig({ dataDir });
    rig.store(line(0));
    await rig.stop();
    const first = new Bench(test, dataDir).start({ once: false });
    await eventually('it has written its file', () => readCursorFile(dataDir, 'files') !== null);
    const other = temporaryDirectory();
    onEnd(test, () => fs.rmSync(other, { recursive: true }));
    const second = new Exporter(
      { ...OPTIONS, dataDir, once: false },
      (context) => new DirectorySink(other, context),
      SILENT,
      new ExportMetrics('files'),
    );
    await assert.rejects(
      second.run(new AbortController().signal),
      failsWith(
        'SINK_FAILED',
        /another exporter with the name files ships .* to .*: give one of the two another --name/,
      ),
    );
    await first.stop();
    assert.equal(readCursorFile(dataDir, 'files')?.place, first.sink.place);
  });

  it('goes on under another address of its sink, while the exporter that it took over from ends', async (test) => {
    const { dataDir } = await record([1]);
    const bench = new Bench(test, dataDir);
    const first = bench.start({ once: false });
    await eventually('shipped', () => first.sink.ranges().length === 1);
    await eventually('it has written its file', () => readCursorFile(dataDir, 'files')?.commit === 1);
    const address = `${bench.sinkDir}-link`;
    fs.symlinkSync(bench.sinkDir, address);
    onEnd(test, () => fs.rmSync(address));
    const second = new Exporter(
      { ...OPTIONS, writer: 'two', dataDir, once: false },
      (context) => new DirectorySink(address, context),
      SILENT,
      new ExportMetrics('files'),
    );
    const stop = new AbortController();
    const ended = second.run(stop.signal);
    await assert.rejects(first.ended, failsWith('SINK_FAILED', /give one of the two another --name/));
    await eventually('it reports alone', () => readCursorFile(dataDir, 'files')?.exporter === 'two');
    stop.abort();
    await ended;
    assert.equal(readCursorFile(dataDir, 'files')?.state, 'stopped');
  });

  it('ends when its data directory goes away', async (test) => {
    const { dataDir } = await record([1]);
    const run = new Bench(test, dataDir).start({ once: false });
    await eventually('shipped', () => run.sink.ranges().length === 1);
    fs.renameSync(dataDir, `${dataDir}-away`);
    await assert.rejects(run.ended, failsWith('DATA_DIR_UNUSABLE', /cannot read the data directory/));
    fs.renameSync(`${dataDir}-away`, dataDir);
  });

  it('does all upkeep at the end, but none after a signal', async (test) => {
    const { dataDir } = await record(...many(2, 40));
    const bench = new Bench(test, dataDir);
    const stopped = bench.start();
    stopped.sink.nextFailure = () => {
      void stopped.stop();
      return null;
    };
    await stopped.ended;
    assert.equal(stopped.sink.ranges().length, 1);
    assert.ok(!stopped.sink.maintained.includes('last'));
    const whole = bench.start();
    await whole.ended;
    assert.equal(whole.sink.maintained.at(-1), 'last');
  });

  it('does not complain of upkeep that its own end interrupts', async (test) => {
    const { dataDir } = await record([1]);
    const run = new Bench(test, dataDir).start({ once: false });
    run.sink.nextMaintenance = () =>
      run.sink.closed.then(() => {
        throw new SinkError('retry', 'closed');
      });
    await eventually('upkeep has begun', () => run.sink.maintained.length > 0);
    await run.stop();
    await nextTurn();
    assert.match(await run.metrics.registry.metrics(), /maintenance_failing\{sink="files"\} 0\n/);
  });

  it('refuses a directory without a log', () => {
    const dataDir = temporaryDirectory();
    assert.throws(() => logIdOf(dataDir), failsWith('DATA_DIR_UNUSABLE', /has no log\.json/));
    fs.rmSync(dataDir, { recursive: true });
  });
});
