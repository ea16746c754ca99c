/** The sinks of the log for the live page. */
import type { CursorFile } from '../storage/cursor-file.ts';
import type { SinkState } from './messages.ts';

/** Exporters report every second. */
const SILENT_MS = 10_000;
/** States in which an exporter has ended and owes no report. */
const ENDED = ['stopped', 'failed'];

export function sinkStates(cursors: readonly CursorFile[], nowMs: number): SinkState[] {
  return cursors.map(({ sink, state, updatedMs, lagSeconds, lagCommits, lagBytes, error }) => {
    const isSilent = nowMs - updatedMs > SILENT_MS && !ENDED.includes(state);
    return { sink, state: isSilent ? 'silent' : state, lagSeconds, lagCommits, lagBytes, error };
  });
}
