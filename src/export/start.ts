/** Where `--from` begins. */
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { CommitReader } from '../storage/commit-reader.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { nodeFileOps as ops } from '../storage/file-ops.ts';
import { isRegularFile, segmentName } from '../storage/segment-name.ts';

/**
 * The last commit before `--from`: a commit number, or a time as ISO 8601. A time selects the first segment that was
 * written to after it, because the log keeps the clients' times and not its own.
 * @throws MetricsStreamError CONFIG_INVALID
 */
export async function startOf(dataDir: string, from: string): Promise<number> {
  if (/^[1-9]\d{0,14}$/.test(from)) return Number(from) - 1;
  const time = Date.parse(from);
  if (Number.isNaN(time) || !/^\d{4}-\d\d/.test(from))
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `--from ${from}: give a commit number, or a time such as 2026-01-31T12:00Z`,
    );
  const segment = segmentsOf(dataDir).find((sequence) => {
    const path = join(dataDir, segmentName(sequence));
    return isRegularFile(ops, path) && ops.stat(path).mtimeMs >= time;
  });
  if (segment === undefined)
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `--from ${from}: the log has nothing that was written after this time`,
    );
  for await (const item of new CommitReader(dataDir, { place: { segment, offset: 0 } }).pass())
    if (item.kind === 'commit') return item.commit - 1;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `--from ${from}: ${segmentName(segment)} has no sound commit`,
  );
}
