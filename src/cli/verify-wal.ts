/** The part of `verify` that reads the write-ahead files: is everything acknowledged in a segment or in one of them? */
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { listSegmentFiles } from '../storage/segment-name.ts';
import { inspectWal, type WalState } from '../wal/inspect.ts';
import { lastMark, readWal } from '../wal/recovery.ts';
import { listWalFiles } from '../wal/wal-file.ts';

/** Of a file that a server is writing: the segments may pass it while it is read. */
const CHECK_AGAIN_MS = 200;
const CHECKS = 5;

interface WalProblem {
  readonly segment: string;
  readonly offset: number;
  readonly bytes: number;
  readonly what: string;
}

export interface WalFindings {
  readonly files: readonly WalState[];
  readonly problems: readonly WalProblem[];
}

/** @param isLive a server is writing the files meanwhile */
export async function verifyWal(dataDir: string, isLive: boolean): Promise<WalFindings> {
  if (listWalFiles(ops, dataDir).length === 0) return { files: [], problems: [] };
  for (let check = 1; ; check++) {
    const findings = checkOnce(dataDir);
    if (findings.problems.length === 0 || !isLive || check === CHECKS) return findings;
    await sleep(CHECK_AGAIN_MS);
  }
}

function checkOnce(dataDir: string): WalFindings {
  try {
    // The segments last: whatever the copier has moved in between is in them.
    const logs = readWal(ops, dataDir);
    const files = inspectWal(logs, lastMark(ops, dataDir, listSegmentFiles(ops, dataDir)));
    return { files, problems: files.flatMap(problemOf) };
  } catch (error) {
    if (!isFileError(error)) throw error;
    const what = `it cannot be read: ${codeOf(error)}`;
    return { files: [], problems: [{ segment: '.wal-*.bin', offset: 0, bytes: 0, what }] };
  }
}

function problemOf({ file, hasHeader, damaged }: WalState): WalProblem[] {
  const problem = { segment: file, offset: 0, bytes: 0 };
  if (!hasHeader) {
    const what = `its header is damaged: the next start replays nothing from it, and keeps it as ${file}.damaged`;
    return [{ ...problem, what }];
  }
  if (damaged === 0) return [];
  return [{ ...problem, what: `${damaged} acknowledged records are damaged, and no segment holds them` }];
}

/** @param owner process id of the server that uses the directory, or null */
export function walText({ files }: WalFindings, owner: number | null): string {
  return files.map((state) => stateText(state, owner)).join('');
}

function stateText(
  { file, waitingRecords, waitingLines, unanswered }: WalState,
  owner: number | null,
): string {
  let text = '';
  if (waitingRecords > 0) {
    const by = owner === null ? 'the next start appends them' : `process ${owner} is copying them`;
    text += `${file}: ${waitingLines} lines in ${waitingRecords} records wait to be copied to a segment; ${by}\n`;
  }
  if (unanswered > 0 && owner === null) {
    text += `${file}: ${unanswered} records of requests that were never answered; the next start drops them\n`;
  }
  return text;
}
