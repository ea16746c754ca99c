/** Waits for the last writes of a stop, and says so if they take long. */
import type { Logger } from './base/log.ts';
import type { Config } from './config/load.ts';

/** The last write and sync of a stop may take this long without a word. */
const EXPECTED_MS = 2_000;

/** The losses of a second stop signal while the writer has not ended. */
const LOST = {
  received: 'may lose acknowledged metrics',
  written: 'loses acknowledged metrics only if the machine fails too',
  synced: 'loses nothing that was acknowledged',
} as const satisfies Record<Config['ack'], string>;

/** Waits for the writer, without a limit: ending before its last sync could lose acknowledged metrics. */
export async function waitForWriter(stopped: Promise<void>, ack: Config['ack'], log: Logger): Promise<void> {
  const timer = setTimeout(() => {
    log.warn(
      `waiting for the disk to store what was accepted; a second signal ends at once and ${LOST[ack]}`,
    );
  }, EXPECTED_MS);
  await stopped;
  clearTimeout(timer);
}
