/** Holds the write-ahead files against the segments, for `verify`. Changes nothing. */
import { basename } from 'node:path';
import { copiedOf, type Mark } from './mark.ts';
import type { WalLog } from './recovery.ts';
import { planReplay } from './replay.ts';

/** One write-ahead file. */
export interface WalState {
  readonly file: string;
  /** False: block 0 is not a header, so the next start sets the file aside. */
  readonly hasHeader: boolean;
  /** Whole records, and their lines, that no segment holds yet: the copier or the next start appends them. */
  readonly waitingRecords: number;
  readonly waitingLines: number;
  /** Acknowledged records that neither this file nor a segment holds whole. */
  readonly damaged: number;
  /** Records whose requests were never answered: the next start drops them. */
  readonly unanswered: number;
}

/** @param mark of the last good commit in the segments, read after `logs` if a server is running */
export function inspectWal(logs: readonly WalLog[], mark: Mark | null): WalState[] {
  return logs.map(({ lane, path, header, records }) => {
    const file = basename(path);
    if (header === null) {
      return { file, hasHeader: false, waitingRecords: 0, waitingLines: 0, damaged: 0, unanswered: 0 };
    }
    const copied = Math.max(header.checkpoint, copiedOf(mark, lane, header.generation));
    const { records: waiting, damaged, dropped } = planReplay(records, copied);
    const waitingLines = waiting.reduce((sum, { lines }) => sum + lines, 0);
    return {
      ...{ file, hasHeader: true, waitingRecords: waiting.length, waitingLines },
      ...{ damaged, unanswered: dropped },
    };
  });
}
