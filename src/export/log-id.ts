import { MetricsStreamError } from '../base/errors.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { readLogRecord } from '../storage/log-record.ts';

/** The id of the log in a directory. @throws MetricsStreamError DATA_DIR_UNUSABLE if the directory has no log */
export function logIdOf(dataDir: string): string {
  const { record } = readLogRecord(nodeFileOps, dataDir);
  if (record !== null) return record.id;
  throw new MetricsStreamError(
    'DATA_DIR_UNUSABLE',
    `${dataDir} has no log.json: give --data-dir the directory of a server, and start the server once before.`,
  );
}
