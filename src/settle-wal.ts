/** Whether a configuration runs with the write-ahead log on this machine, and with which back-end. */
import type { Config } from './config/load.ts';
import { loadDispatch, slotsOf } from './phases.ts';
import { chooseBackend, type WalChoice } from './wal/choose.ts';

export interface SettledWal {
  /** With `wal: 'off'` where the phase has no write-ahead log or the machine cannot run it. */
  readonly config: Config;
  readonly wal: WalChoice;
}

/** Writes and removes a small file in the data directory, which it creates. */
export async function settleWal(given: Config): Promise<SettledWal> {
  const slots = slotsOf(given);
  if (slots.writer !== 'write-ahead') return { config: given, wal: { backend: 'off', reason: '' } };
  const dispatch = await loadDispatch(slots);
  const wal = chooseBackend({
    option: given.wal,
    dataDir: given.dataDir,
    ack: given.ack,
    lanes: dispatch.requestThreads(given) || dispatch.acceptThreads(given),
    threadsBlock: slots.dispatch !== 'worker-pool',
    journalBytes: given.journalBytes,
    walBytes: given.walBytes,
  });
  return { config: wal.backend === 'off' ? { ...given, wal: 'off' } : given, wal };
}
