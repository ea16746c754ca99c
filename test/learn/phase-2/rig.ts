/** A writer that the steps turn by hand, over real files. */
import { FaultFileOps } from '../../../load-test/faults/fault-file-ops.ts';
import { REFUSED, STORED } from '../../../src/journal/journal.ts';
import { type RigOptions, WriterRig } from '../../support/writer-rig.ts';

/** Runs `action` with a writer and removes its files. */
export function withRig(options: RigOptions, action: (rig: WriterRig, ops: FaultFileOps) => void): void {
  const ops = new FaultFileOps();
  const rig = new WriterRig({ ops, ...options });
  try {
    action(rig, ops);
  } finally {
    rig.remove();
  }
}

/** The outcome in words. */
export function outcomeText(rig: WriterRig, cursor: number, lane = 0): string {
  const outcome = rig.outcome(cursor, lane);
  if (outcome === null) return 'not settled';
  if (outcome === STORED) return 'stored';
  return outcome === REFUSED ? 'refused' : 'unknown';
}
