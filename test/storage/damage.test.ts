/** Torn tails and flipped bits, at every offset: the reader, `tail`, `verify` and a restart. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { basename } from 'node:path';
import { describe, test } from 'node:test';
import { type FileOps, nodeFileOps } from '../../src/storage/file-ops.ts';
import { recover } from '../../src/storage/recovery.ts';
import { readSegment, type SegmentItem } from '../../src/storage/segment-reader.ts';
import { asAfterKill, commitRanges, record, tailed, verified } from '../support/damage.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const NEWLINE = 0x0a;

function read(path: string): SegmentItem[] {
  const fd = fs.openSync(path, 'r');
  try {
    return [...readSegment(nodeFileOps, fd)];
  } finally {
    fs.closeSync(fd);
  }
}

describe('a torn tail', () => {
  test('at each of the last 300 offsets is reported, not served, and cut off by the next start', async () => {
    const { dataDir, commits, paths } = await record([2, 1, 3, 1, 1]);
    const path = paths[0]!;
    const whole = fs.readFileSync(path);
    const ends = commitRanges(whole).map(({ to }) => to);
    for (let cut = 1; cut <= 300; cut++) {
      const size = whole.length - cut;
      // Whole lines, and a whole seal without its newline, are not torn: see below.
      if (whole[size - 1] === NEWLINE && !ends.includes(size)) continue;
      if (ends.includes(size + 1)) continue;
      asAfterKill(dataDir);
      fs.writeFileSync(path, whole.subarray(0, size));
      const left = ends.filter((end) => end <= size).length;
      const kept = commits.slice(0, left);
      const goodEnd = ends[left - 1] ?? 0;
      assert.equal((await tailed(dataDir)).text, kept.join(''));
      const { code, text } = await verified(dataDir);
      assert.equal(code, 0, text);
      assert.equal(/unfinished commit/.test(text), size > goodEnd, text);
      const report = recover(nodeFileOps, dataDir);
      assert.equal(report.truncatedBytes, size - goodEnd);
      assert.equal(report.nextCommit, left + 1);
      assert.equal(report.setAside, null);
      assert.equal(fs.statSync(path).size, goodEnd);
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  test('is followed by a new segment that continues the numbers, and all verifies', async () => {
    const { dataDir, commits, paths } = await record([2, 1, 3]);
    asAfterKill(dataDir);
    fs.truncateSync(paths[0]!, fs.statSync(paths[0]!).size - 5);
    const rig = new WriterRig({ dataDir });
    rig.store(line(99));
    await rig.stop();
    const { code, text } = await verified(dataDir);
    assert.equal(code, 0, text);
    assert.match(text, /2 segments, 3 commits \(1 to 3\)/);
    assert.equal((await tailed(dataDir)).text, commits[0]! + commits[1]! + line(99));
    rig.remove();
  });

  test('of a first commit leaves no file', async () => {
    const { dataDir, paths } = await record([4]);
    asAfterKill(dataDir);
    fs.truncateSync(paths[0]!, 100);
    const report = recover(nodeFileOps, dataDir);
    assert.deepEqual([report.truncatedBytes, report.nextCommit, report.nextSegment], [100, 1, 2]);
    assert.equal(fs.existsSync(paths[0]!), false);
    fs.rmSync(dataDir, { recursive: true });
  });

  test('in a segment that has a successor is damage', async () => {
    const { dataDir, paths, commits } = await record([2, 2], [1]);
    fs.truncateSync(paths[0]!, fs.statSync(paths[0]!).size - 10);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /metrics-00000001\.ndjson: DAMAGED at byte \d+, \d+ bytes: no seal/);
    assert.equal((await tailed(dataDir)).text, commits[0]! + commits[2]!);
    fs.rmSync(dataDir, { recursive: true });
  });
});

describe('a flipped bit', () => {
  test('anywhere in a segment is reported by verify with its place, and never served', async () => {
    const { dataDir, commits, paths } = await record([1, 2, 1]);
    const path = paths[0]!;
    const whole = fs.readFileSync(path);
    const ranges = commitRanges(whole);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const at = bit >> 3;
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at]! ^ (1 << (bit & 7));
      fs.writeFileSync(path, bytes);
      const hit = ranges.findIndex(({ to }) => at < to);
      const place = `bit ${bit & 7} of byte ${at}`;
      const { code, text } = await verified(dataDir);
      assert.equal(code, 1, place);
      assert.ok(
        text.includes(`DAMAGED at byte ${ranges[hit]!.from}, ${ranges[hit]!.to - ranges[hit]!.from} bytes`),
        `${place}\n${text}`,
      );
      const { text: lines, warnings } = await tailed(dataDir);
      assert.equal(lines, commits.filter((_, k) => k !== hit).join(''), place);
      assert.ok(warnings.includes(`${basename(path)} at byte ${ranges[hit]!.from}`), place);
    }
    fs.rmSync(dataDir, { recursive: true });
  });

  test('in the middle stays where it is at a restart, counted, and costs no other commit', async () => {
    const { dataDir, commits, paths } = await record([2, 2, 2, 2]);
    const path = paths[0]!;
    const bytes = fs.readFileSync(path);
    const [, second] = commitRanges(bytes);
    bytes[second!.from + 10]! ^= 4;
    fs.writeFileSync(path, bytes);
    const report = recover(nodeFileOps, dataDir);
    assert.deepEqual(
      [
        report.damagedCommits,
        report.damagedBytes,
        report.truncatedBytes,
        report.goodCommits,
        report.nextCommit,
      ],
      [1, second!.to - second!.from, 0, 3, 5],
    );
    assert.deepEqual(fs.readFileSync(path), bytes);
    assert.equal((await tailed(dataDir)).text, commits[0]! + commits[2]! + commits[3]!);
    fs.rmSync(dataDir, { recursive: true });
  });
});

describe('the segment reader', () => {
  test('finds every commit, wherever a read of the file ends', async () => {
    const { dataDir, paths } = await record([1, 3, 1, 2]);
    const fd = fs.openSync(paths[0]!, 'r');
    for (let most = 1; most <= 600; most++) {
      const ops: FileOps = {
        ...nodeFileOps,
        read: (file, buffer, offset, length, position) =>
          nodeFileOps.read(file, buffer, offset, Math.min(length, most), position),
      };
      const kinds = [...readSegment(ops, fd)].map((item) => (item.kind === 'good' ? item.lines : item));
      assert.deepEqual(kinds, [1, 3, 1, 2], `${most} bytes a read`);
    }
    fs.closeSync(fd);
    fs.rmSync(dataDir, { recursive: true });
  });

  test('reads commits that are larger than its buffer', async () => {
    const rig = new WriterRig({ journalBytes: 32 << 20 });
    for (const lines of [30_000, 1, 50_000, 2]) rig.store(line(5).repeat(lines));
    await rig.stop();
    const items = read(`${rig.dataDir}/${rig.segments()[0]!}`);
    assert.deepEqual(
      items.map((item) => (item.kind === 'good' ? item.lines : item.kind)),
      [30_000, 1, 50_000, 2],
    );
    rig.remove();
  });

  test('reports removed, added and zeroed bytes as damage, and continues after it', async () => {
    const { dataDir, paths, commits } = await record([3, 3, 3, 3, 3]);
    const path = paths[0]!;
    const whole = fs.readFileSync(path);
    const [, second, third] = commitRanges(whole) as { from: number; to: number }[];
    const middle = second!.from + 40;
    const without = commits[0]! + commits[2]! + commits[3]! + commits[4]!;
    const cases: [string, Buffer][] = [
      ['7 bytes out', Buffer.concat([whole.subarray(0, middle), whole.subarray(middle + 7)])],
      [
        'a line in',
        Buffer.concat([whole.subarray(0, second!.from), Buffer.from(line(7)), whole.subarray(second!.from)]),
      ],
      ['zeroed', Buffer.concat([whole.subarray(0, middle), Buffer.alloc(20), whole.subarray(middle + 20)])],
      ['its seal out', Buffer.concat([whole.subarray(0, second!.to - 30), whole.subarray(second!.to)])],
    ];
    for (const [what, bytes] of cases) {
      fs.writeFileSync(path, bytes);
      const kinds = read(path).map(({ kind }) => kind);
      if (what === 'a line in') {
        // The commit itself is whole: only the stranger before it is left out.
        assert.deepEqual(kinds, ['good', 'damaged', 'good', 'good', 'good', 'good'], what);
        assert.equal((await tailed(dataDir)).text, commits.join(''), what);
      } else {
        assert.deepEqual(kinds, ['good', 'damaged', 'good', 'good', 'good'], what);
        assert.equal((await tailed(dataDir)).text, without, what);
      }
      assert.equal((await verified(dataDir)).code, 1, what);
    }
    // A removed commit shows as a gap in the numbers.
    fs.writeFileSync(path, Buffer.concat([whole.subarray(0, second!.from), whole.subarray(third!.from)]));
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, new RegExp(`DAMAGED at byte ${second!.from}: commit 2 is missing`));
    assert.match((await tailed(dataDir)).warnings, /commit 2 is missing/);
    fs.rmSync(dataDir, { recursive: true });
  });

  test('a segment that is missing is reported, wherever it was', async () => {
    const { dataDir, paths } = await record([1, 1], [1, 1], [1, 1]);
    fs.renameSync(paths[1]!, `${dataDir}/aside`);
    const { code, text } = await verified(dataDir);
    assert.equal(code, 1);
    assert.match(text, /metrics-00000003\.ndjson: DAMAGED at byte 0: commits 3 to 4 are missing/);
    fs.renameSync(`${dataDir}/aside`, paths[1]!);
    for (const [index, missing] of ['commits 1 to 2', null, 'commits 5 to 6'].entries()) {
      if (missing === null) continue;
      fs.renameSync(paths[index]!, `${dataDir}/aside`);
      const { code: found, text: report } = await verified(dataDir);
      assert.equal(found, 1);
      assert.match(report, new RegExp(`MISSING: ${missing} are missing`));
      assert.doesNotMatch(report, /no damage/);
      fs.renameSync(`${dataDir}/aside`, paths[index]!);
    }
    assert.equal((await verified(dataDir)).code, 0);
    fs.rmSync(dataDir, { recursive: true });
  });
});
