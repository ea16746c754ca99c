import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { MetricsStreamError } from '../../src/base/errors.ts';
import { tail } from '../../src/cli/tail.ts';
import { verify } from '../../src/cli/verify.ts';
import { acquireDataDir } from '../../src/storage/data-dir.ts';
import { commitRanges, record, tailed, verified } from '../support/damage.ts';
import { TextSink } from '../support/text-sink.ts';
import { line, temporaryDirectory, WriterRig } from '../support/writer-rig.ts';

test('prints the last lines across commits and segments, without seals', async () => {
  const { dataDir, commits } = await record([3, 1, 4], [1, 5], [2]);
  const all = commits.join('');
  const lines = all.trimEnd().split('\n');
  assert.equal((await tailed(dataDir, 'all')).text, all);
  for (let n = 0; n <= lines.length + 2; n++) {
    const expected = lines.slice(Math.max(0, lines.length - n)).map((text) => `${text}\n`);
    assert.equal((await tailed(dataDir, String(n))).text, expected.join(''), `-n ${n}`);
  }
  fs.rmSync(dataDir, { recursive: true });
});

test('finds the last lines of a segment with many thousand commits', async () => {
  const rig = new WriterRig({ config: { ack: 'written' } });
  for (let id = 0; id < 5_000; id++) rig.store(line(id));
  await rig.stop();
  const expected = Array.from({ length: 1_500 }, (_, k) => line(3_500 + k)).join('');
  assert.equal((await tailed(rig.dataDir, '1500')).text, expected);
  rig.remove();
});

test('an empty directory prints nothing; a missing one, or an invalid count, is an error', async () => {
  const dataDir = temporaryDirectory();
  assert.deepEqual(await tailed(dataDir), { text: '', warnings: '' });
  const codeIs = (code: string) => (error: MetricsStreamError) => error.code === code;
  await assert.rejects(tailed(`${dataDir}/none`), codeIs('DATA_DIR_UNUSABLE'));
  await assert.rejects(verified(`${dataDir}/none`), codeIs('DATA_DIR_UNUSABLE'));
  await assert.rejects(tailed(dataDir, '-1'), codeIs('CONFIG_INVALID'));
  fs.rmSync(dataDir, { recursive: true });
});

test('follows sealed commits as they arrive, across rotation and a restart, and nothing else', async () => {
  const dataDir = temporaryDirectory();
  const out = new TextSink();
  const err = new TextSink();
  const stop = new AbortController();
  const ended = tail({ dataDir, lines: '10', follow: true, out, err, signal: stop.signal });
  let expected = '';
  const rig = new WriterRig({ dataDir, config: { segmentBytes: 2_000 } });
  for (let id = 0; id < 12; id++) {
    const text = line(id, 400);
    rig.store(text);
    expected += text;
    if (id % 4 === 3) await rig.until(() => out.text === expected);
  }
  await rig.stop();
  // A commit that was cut off, as a kill leaves it.
  const last = `${dataDir}/${rig.segments().at(-1)!}`;
  fs.appendFileSync(last, line(666) + line(667).slice(0, 30));
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.equal(out.text, expected);

  const again = new WriterRig({ dataDir });
  again.store(line(20));
  expected += line(20);
  await again.until(() => out.text === expected);
  await again.stop();
  stop.abort();
  assert.equal(await ended, 0);
  assert.equal(err.text, '');
  fs.rmSync(dataDir, { recursive: true });
});

test('skips damage with a warning while following, and continues after it', async () => {
  const { dataDir, commits, paths } = await record([1, 1, 1], [1]);
  const bytes = fs.readFileSync(paths[0]!);
  bytes[commitRanges(bytes)[1]!.from + 20]! ^= 1;
  fs.writeFileSync(paths[0]!, bytes);
  const out = new TextSink();
  const err = new TextSink();
  const stop = new AbortController();
  const ended = tail({ dataDir, lines: 'all', follow: true, out, err, signal: stop.signal });
  const rig = new WriterRig({ dataDir });
  rig.store(line(50));
  await rig.until(() => out.text === commits[0]! + commits[2]! + commits[3]! + line(50));
  await rig.stop();
  stop.abort();
  await ended;
  assert.equal(err.text.match(/left out/g)?.length, 1, err.text);
  rig.remove();
});

test('ends when its reader has gone away', async () => {
  const { dataDir } = await record([1]);
  const out = new TextSink();
  const ended = tail({ dataDir, lines: 'all', follow: true, out, err: new TextSink() });
  out.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
  assert.equal(await ended, 0);
  fs.rmSync(dataDir, { recursive: true });
});

test('verify distinguishes a commit in progress from damage, names the writer, and counts proved lines', async () => {
  const { dataDir, commits, paths } = await record([2, 3]);
  const whole = fs.readFileSync(paths[0]!);
  fs.appendFileSync(paths[0]!, '{"timestamp":1');
  let result = await verified(dataDir);
  assert.equal(result.code, 0);
  assert.match(result.text, /unfinished commit of 14 bytes at byte \d+; the next start cuts it off/);
  const lock = await acquireDataDir(dataDir);
  result = await verified(dataDir);
  assert.match(result.text, new RegExp(`process ${process.pid} may be writing it`));
  await lock.release();
  const out = new TextSink();
  assert.equal(await verify({ dataDir, json: true, out }), 0);
  const {
    ok,
    segments,
    commits: count,
    lines,
    bytes,
    lastCommit,
    unfinished,
    problems,
  } = JSON.parse(out.text);
  assert.deepEqual(
    { ok, segments, count, lines, bytes, lastCommit, problems },
    {
      ok: true,
      segments: 1,
      count: commits.length,
      lines: 5,
      bytes: whole.length,
      lastCommit: 2,
      problems: [],
    },
  );
  assert.deepEqual(unfinished, { segment: 'metrics-00000001.ndjson', offset: whole.length, bytes: 14 });
  fs.rmSync(dataDir, { recursive: true });
});
