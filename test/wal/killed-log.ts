/** Data directories as a killed server leaves them: lines in the write-ahead file that no segment holds. */
import fs from 'node:fs';
import { join } from 'node:path';
import { CommitBuffer } from '../../src/storage/commit-buffer.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { segmentName } from '../../src/storage/segment-name.ts';
import { formatMark } from '../../src/wal/mark.ts';
import { writeHeader } from '../../src/wal/wal-file.ts';
import { line } from '../support/writer-rig.ts';
import { GENERATION, LaneRig } from './rig.ts';

/** Records 1 to `records` in the file, commits 1 to `copied` in a segment. */
export function killed({
  records,
  copied,
  checkpoint = 0,
}: {
  records: number;
  copied: number;
  checkpoint?: number;
}) {
  const rig = new LaneRig();
  const { dataDir } = rig;
  // The rig's directory has no log record yet; recovery makes one.
  let segment = '';
  for (let id = 1; id <= records; id++) {
    rig.commit(line(id));
    rig.lane.publish();
    if (id <= copied) segment += sealed(id);
  }
  rig.lane.close();
  if (copied > 0) fs.writeFileSync(join(dataDir, segmentName(1)), segment);
  writeHeader(nodeFileOps, rig.path, { lane: 0, generation: GENERATION, checkpoint, start: 0 }, false);
  return { rig, dataDir, segment: join(dataDir, segmentName(1)) };
}

/** Commit `id`, which holds the line of record `id`. */
export function sealed(id: number): string {
  const bytes = Buffer.from(line(id));
  const buffer = new CommitBuffer();
  buffer.add(bytes, 0, bytes.length, 1);
  buffer.seal(id, formatMark(GENERATION, [id]));
  return Buffer.concat(buffer.pieces).toString('latin1');
}
