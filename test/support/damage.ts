/** Small segments with many commits, and ways to damage them. */
import fs from 'node:fs';
import { join } from 'node:path';
import { tail } from '../../src/cli/tail.ts';
import { verify } from '../../src/cli/verify.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { readLogRecord, writeLogRecord } from '../../src/storage/log-record.ts';
import { TextSink } from './text-sink.ts';
import { line, WriterRig } from './writer-rig.ts';

export interface Recorded {
  readonly dataDir: string;
  /** The lines of each commit, in order. */
  readonly commits: readonly string[];
  /** The segment files in order. */
  readonly paths: readonly string[];
}

/** A directory with one segment per run; `runs` lists the lines of each commit. */
export async function record(...runs: readonly (readonly number[])[]): Promise<Recorded> {
  const commits: string[] = [];
  let dataDir: string | undefined;
  let id = 0;
  for (const run of runs) {
    const rig: WriterRig = new WriterRig(dataDir === undefined ? {} : { dataDir });
    dataDir = rig.dataDir;
    for (const lines of run) {
      const text = Array.from({ length: lines }, () => line(id++)).join('');
      rig.store(text);
      commits.push(text);
    }
    await rig.stop();
  }
  if (dataDir === undefined) throw new Error('nothing to record');
  return { dataDir, commits, paths: segmentPaths(dataDir) };
}

/** A directory with one segment; each commit has these lines, which lack their newlines. */
export async function recordLines(commits: readonly (readonly string[])[]): Promise<string> {
  const rig = new WriterRig();
  for (const lines of commits) rig.store(lines.map((text) => `${text}\n`).join(''));
  await rig.stop();
  return rig.dataDir;
}

/** Flips a bit in the commit with that index of a segment. */
export function damageCommit({ paths }: Recorded, segment: number, commit: number): void {
  const bytes = fs.readFileSync(paths[segment]!);
  bytes[commitRanges(bytes)[commit]!.from + 20]! ^= 1;
  fs.writeFileSync(paths[segment]!, bytes);
}

/**
 * Makes the log record look as `kill -9` leaves it.
 * @param known the last segment and commit that it knows: by default nothing since the start
 */
export function asAfterKill(dataDir: string, known = { segment: 0, commit: 0 }): void {
  const { record: found } = readLogRecord(nodeFileOps, dataDir);
  if (found === null) throw new Error('there is no log record');
  writeLogRecord(nodeFileOps, dataDir, { ...found, ...known, startSegment: 0, clean: false });
}

export function segmentPaths(dataDir: string): string[] {
  return fs
    .readdirSync(dataDir)
    .filter((name) => /^metrics-\d+\.ndjson$/.test(name))
    .sort()
    .map((name) => join(dataDir, name));
}

export async function verified(dataDir: string): Promise<{ code: number; text: string }> {
  const out = new TextSink();
  const code = await verify({ dataDir, json: false, out });
  return { code, text: out.text };
}

export async function tailed(dataDir: string, lines = 'all'): Promise<{ text: string; warnings: string }> {
  const out = new TextSink();
  const err = new TextSink();
  await tail({ dataDir, lines, follow: false, out, err });
  return { text: out.text, warnings: err.text };
}

/** Start and end of each commit in the bytes of a segment. */
export function commitRanges(bytes: Buffer): { from: number; to: number }[] {
  const ranges: { from: number; to: number }[] = [];
  let from = 0;
  for (;;) {
    const seal = bytes.indexOf(',"seal":', from);
    if (seal < 0) return ranges;
    const to = bytes.indexOf('\n', seal) + 1;
    ranges.push({ from, to });
    from = to;
  }
}
