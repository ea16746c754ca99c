/**
 * Opens the log of a data directory: makes durable what no sync covered, recovers the segments, replays the write-ahead
 * log, and renews its files.
 */
import { randomInt } from 'node:crypto';
import type { FileOps } from '../storage/file-ops.ts';
import { RESERVED_COMMITS, readLogRecord, writeLogRecord } from '../storage/log-record.ts';
import { explained, type RecoveryReport, recover } from '../storage/recovery.ts';
import { rewriteUnsynced } from '../storage/unsynced.ts';
import type { Generation } from './record.ts';
import {
  type ReplayReport,
  readWal,
  renewWal,
  repairUnsynced,
  replayWal,
  setAsideUnreadable,
} from './recovery.ts';
import { removeUnfinishedWal } from './wal-file.ts';

/** Bounds of crypto.randomInt: its range is below 2^48. */
const GENERATION_MAX = 2 ** 48 - 1;

export interface OpenedLog {
  /** With the numbers that follow the replay. */
  readonly recovery: RecoveryReport;
  readonly replay: ReplayReport;
  /** Bytes that an unsynced segment lost and the replay restored. */
  readonly repairedBytes: number;
  /** Write-ahead files with a damaged header, under the names by which they are kept. */
  readonly walSetAside: readonly string[];
}

interface Lanes {
  readonly count: number;
  readonly generation: Generation;
  readonly fileBytes: number;
}

/** A number that no other run has. */
export function newGeneration(): Generation {
  return randomInt(1, GENERATION_MAX);
}

/**
 * @param lanes the lanes that this run has, or null without a write-ahead log: then its files are removed
 * @throws MetricsStreamError DATA_DIR_UNUSABLE when the log cannot be read, repaired or written
 */
export function openLog(ops: FileOps, dataDir: string, lanes: Lanes | null): OpenedLog {
  return explained(dataDir, () => openFiles(ops, dataDir, lanes));
}

function openFiles(ops: FileOps, dataDir: string, lanes: Lanes | null): OpenedLog {
  // First: the rest may need the space.
  removeUnfinishedWal(ops, dataDir);
  // All that follows relies on the segments: in the end the write-ahead files give up what the segments hold.
  rewriteUnsynced(ops, dataDir);
  const logs = readWal(ops, dataDir);
  const repairedBytes = repairUnsynced(ops, dataDir, logs);
  const recovered = recover(ops, dataDir);
  const replay = replayWal(ops, dataDir, logs, recovered);
  const walSetAside = setAsideUnreadable(ops, dataDir, logs);
  renewWal(ops, dataDir, logs, lanes?.count ?? 0, lanes ?? { generation: 0, fileBytes: 0 });
  const { nextCommit, nextSegment } = replay;
  const found = { replay, repairedBytes, walSetAside };
  if (replay.records === 0) return { recovery: recovered, ...found };
  const startSegment = nextSegment - 1;
  recordReplay(ops, dataDir, startSegment, nextCommit - 1);
  return { recovery: { ...recovered, startSegment, nextCommit, nextSegment }, ...found };
}

/** The log record has to know the commits of the replay before any later one: numbers never restart. */
function recordReplay(ops: FileOps, dataDir: string, segment: number, commit: number): void {
  const { record } = readLogRecord(ops, dataDir);
  if (record === null) return;
  const reserved = commit + RESERVED_COMMITS;
  writeLogRecord(ops, dataDir, { ...record, segment, startSegment: segment, commit, reserved });
}
