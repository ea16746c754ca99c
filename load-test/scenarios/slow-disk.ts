/** A disk whose every sync takes long. */

import { faultEnvironment } from '../faults/disk-faults.ts';
import { formatMs } from '../format.ts';
import { countOf, isSuccess } from '../plan.ts';
import { expectOrderlyAnswers } from './expectations.ts';
import type { Scenario } from './scenario.ts';

const SYNC_DELAY_MS = 50;
const RATE = 500;
const CLIENTS = 100;
const BATCH = 10;
const DURATION_MS = 6_000;

export const slowDisk: Scenario = {
  name: 'slow-disk',
  title: `Slow disk: every sync takes ${SYNC_DELAY_MS} ms longer`,
  expects:
    'answers wait for the sync and all that is accepted is stored; what is too much is refused with 503 and ' +
    'Retry-After, not lost and not left without an answer',
  async run(stage) {
    const target = await stage.server({
      args: ['--ack', 'synced'],
      env: faultEnvironment({ syncDelayMs: SYNC_DELAY_MS }),
      onlyOwn: 'it slows the disk down',
    });
    const result = await stage.load('slow disk', target, {
      clients: CLIENTS,
      batch: BATCH,
      load: { kind: 'open', ratePerSecond: RATE, durationMs: stage.options.durationMs ?? DURATION_MS },
    });
    expectOrderlyAnswers(stage, [{ name: 'slow disk', result }]);
    const successes = countOf(result.outcomes, isSuccess);
    stage.expect('requests are accepted all the same', successes > 0, `${successes} successes`);
    const { p50Ms } = result.apiLatency;
    // Half of a group commit waits for one sync, the other half for the rest of the one before, too.
    stage.expect(
      `half of the answers or more waited for a sync of ${SYNC_DELAY_MS} ms`,
      p50Ms >= SYNC_DELAY_MS,
      `p50 ${formatMs(p50Ms)} ms`,
    );
  },
};
