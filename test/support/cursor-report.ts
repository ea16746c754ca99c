/** The report of an exporter about its sink, for tests of those who read it. */
import { type CursorFile, writeCursorFile } from '../../src/storage/cursor-file.ts';

const REPORT: CursorFile = {
  sink: 'postgres',
  place: 'postgres://db/metrics',
  log: '00000000-0000-0000-0000-000000000000',
  commit: 1,
  segment: 1,
  updatedMs: 0,
  state: 'waiting',
  error: '',
  lagCommits: 0,
  lagBytes: 0,
  lagSeconds: 0,
  metricsTotal: 1,
  quarantined: 0,
};

export function reportCursor(dataDir: string, fields: Partial<CursorFile>): void {
  writeCursorFile(dataDir, { ...REPORT, updatedMs: Date.now(), ...fields });
}
