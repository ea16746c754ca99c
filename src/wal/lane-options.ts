/** Options of a lane; the thread that serves requests opens it. */
import type { StorageCost } from '../journal/journal.ts';
import type { OpenBlockWriter } from './block-writer.ts';
import type { Generation } from './record.ts';

export interface LaneOptions {
  readonly memory: SharedArrayBuffer;
  readonly lane: number;
  readonly generation: Generation;
  readonly path: string;
  readonly fileBytes: number;
  /** Where this generation's first record goes in the file: bytes behind block 0. */
  readonly start: number;
  readonly open: OpenBlockWriter;
  /** Called when the oldest write in flight changes, with the time it was submitted; 0 when none is in flight. */
  readonly writing: (sinceMs: number) => void;
  readonly cost: StorageCost;
  /** Called for each record made durable: its bytes in the file, and when it was submitted. */
  readonly stored: (bytes: number, submittedMs: number) => void;
  /** Called once when a write fails: the process has to end. */
  readonly failed: (errno: number) => void;
  /** Wakes the copier. */
  readonly ring: () => void;
  readonly now: () => number;
}
