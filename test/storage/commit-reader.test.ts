import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { CommitReader, type LogItem, placeAfter } from '../../src/storage/commit-reader.ts';
import { bytesBehind, logEnd } from '../../src/storage/log-end.ts';
import { commitRanges, record } from '../support/damage.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

async function itemsOf(reader: CommitReader): Promise<LogItem[]> {
  const items: LogItem[] = [];
  for await (const item of reader.pass()) items.push(item);
  return items;
}

const textOf = (items: readonly LogItem[]): string =>
  items.map((item) => (item.kind === 'commit' ? item.lines.toString() : item.kind)).join('');

describe('the commit reader', () => {
  it('begins behind any commit, wherever its segment is', async () => {
    const { dataDir, commits } = await record([1, 2, 1], [3], [1, 1], [2, 1]);
    for (let after = 0; after <= commits.length; after++) {
      const place = placeAfter(dataDir, after);
      const items = await itemsOf(new CommitReader(dataDir, { place, after, sync: true }));
      assert.equal(textOf(items), commits.slice(after).join(''), `after ${after}`);
      assert.equal(
        items[0]?.kind === 'commit' ? items[0].commit : 0,
        after === commits.length ? 0 : after + 1,
      );
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  it('waits for a torn end, and reads it once it is whole', async () => {
    const { dataDir, commits, paths } = await record([1, 1]);
    const whole = fs.readFileSync(paths[0]!);
    const { from } = commitRanges(whole)[1]!;
    fs.writeFileSync(paths[0]!, whole.subarray(0, from + 30));
    const reader = new CommitReader(dataDir);
    assert.equal(textOf(await itemsOf(reader)), commits[0]);
    const changed = reader.changed(60_000);
    fs.writeFileSync(paths[0]!, whole);
    await changed;
    assert.equal(textOf(await itemsOf(reader)), commits[1]);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('syncs a commit that takes the place of a failed write, which the sync before had covered', async (test) => {
    const { dataDir, commits, paths } = await record([1, 1]);
    const whole = fs.readFileSync(paths[0]!);
    const { from } = commitRanges(whole)[1]!;
    fs.writeFileSync(paths[0]!, Buffer.alloc(2 * whole.length, 'x').fill(whole.subarray(0, from), 0, from));
    const syncs = test.mock.method(fs, 'fdatasync');
    const reader = new CommitReader(dataDir, { sync: true });
    assert.equal(textOf(await itemsOf(reader)), commits[0]);
    assert.equal(syncs.mock.callCount(), 1);
    fs.writeFileSync(paths[0]!, whole);
    assert.equal(textOf(await itemsOf(reader)), commits[1]);
    assert.equal(syncs.mock.callCount(), 2);
    fs.rmSync(dataDir, { recursive: true });
  });

  it('reports damage with the commits it hides, also where a start has set the file aside', async () => {
    const { dataDir, commits, paths } = await record([1, 1, 1]);
    const bytes = fs.readFileSync(paths[0]!);
    bytes[commitRanges(bytes)[2]!.from + 20]! ^= 1;
    fs.writeFileSync(paths[0]!, bytes);
    const reader = new CommitReader(dataDir);
    assert.equal(textOf(await itemsOf(reader)), commits[0]! + commits[1]!);
    assert.equal(reader.unsettled?.reason, 'its CRC does not match');
    const rig = new WriterRig({ dataDir });
    rig.store(line(50));
    await rig.stop();
    const [damage, commit] = await itemsOf(reader);
    assert.deepEqual(
      damage?.kind === 'damaged' ? [damage.first, damage.last] : damage,
      [3, 3],
      JSON.stringify(damage),
    );
    assert.equal(commit?.kind === 'commit' ? commit.commit : 0, 4);
    const fresh = await itemsOf(new CommitReader(dataDir, { place: placeAfter(dataDir, 2), after: 2 }));
    assert.match(
      fresh[0]?.kind === 'damaged' ? fresh[0].reason : '',
      /^its end is damaged, see .*\.damaged$/,
    );
    rig.remove();
  });

  it('reports missing commits as a gap, and a segment that comes twice', async () => {
    const { dataDir, paths } = await record([1], [1], [1]);
    const [, second, third] = paths;
    fs.renameSync(second!, `${dataDir}/aside`);
    let items = await itemsOf(new CommitReader(dataDir));
    assert.deepEqual(
      items.map(({ kind }) => kind),
      ['commit', 'gap', 'commit'],
    );
    assert.equal(items[1]?.kind === 'gap' ? items[1].text : '', 'commit 2 is missing');
    fs.copyFileSync(third!, second!);
    items = await itemsOf(new CommitReader(dataDir));
    assert.equal(items[3]?.kind === 'gap' ? items[3].text : '', 'commit 3 follows commit 3');
    fs.rmSync(dataDir, { recursive: true });
  });

  it('tells how much of the log is behind a place', async () => {
    const { dataDir, paths } = await record([1, 1], [1, 1]);
    const sizes = paths.map((path) => fs.statSync(path).size);
    assert.deepEqual(
      { ...logEnd(dataDir), writtenMs: 0 },
      { segment: 2, bytes: sizes[1], commit: 4, writtenMs: 0 },
    );
    assert.equal(bytesBehind(dataDir, 1, 100), sizes[0]! + sizes[1]! - 100);
    assert.equal(bytesBehind(dataDir, 2, sizes[1]!), 0);
    fs.rmSync(dataDir, { recursive: true });
  });
});
