/** A disk that fails for a while: does the server's breaker open, and close again? */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoadError } from '../errors.ts';
import { formatCount } from '../format.ts';
import { countOf, isSuccess, type LoadResult, type Slice } from '../plan.ts';
import { expectOrderlyAnswers } from './expectations.ts';
import { faultyDisk } from './faulty-disk.ts';
import type { Scenario, Target } from './scenario.ts';

const RATE = 200;
const CLIENTS = 20;
const DURATION_MS = 15_000;
/** The disk is full from the first of these seconds until the second. */
const FULL_FROM_SECONDS = 4;
const FULL_UNTIL_SECONDS = 7;
/** Time after a change in which the seconds are not judged. */
const SETTLE_SECONDS = 1;
/** The breaker may wait this long before it tries the disk again. */
const RECOVERY_SECONDS = 5;

async function breakerSamples({ host, port }: Target): Promise<string[]> {
  const response = await fetch(`http://${host}:${port}/metrics`, { headers: { accept: 'text/plain' } });
  return (await response.text()).split('\n').filter((line) => /^[a-z_]*breaker/.test(line));
}

function successesBetween({ timeline }: LoadResult, fromSeconds: number, untilSeconds: number): Slice[] {
  return timeline.filter(
    ({ atSeconds, seconds }) => atSeconds - seconds >= fromSeconds && atSeconds <= untilSeconds,
  );
}

const isAll = (slice: Slice): boolean => countOf(slice.outcomes, (outcome) => !isSuccess(outcome)) === 0;

export const breaker: Scenario = {
  name: 'breaker',
  title: 'Breaker: the disk is full for a while',
  expects:
    'requests get 503 with Retry-After while the disk fails, the breaker says so in GET /metrics, and requests ' +
    'succeed again soon after',
  needs: 'a server whose GET /metrics tells of a breaker; it is not available on one that has none',
  async run(stage) {
    const directory = mkdtempSync(join(tmpdir(), 'metricsstream-breaker-'));
    const fullWhile = join(directory, 'full');
    try {
      const target = await stage.server({ env: faultyDisk({ fullWhile }), onlyOwn: 'it fills the disk up' });
      if ((await breakerSamples(target)).length === 0) {
        throw new LoadError('scenario breaker is not available: this server has no breaker');
      }
      const calm = (await breakerSamples(target)).join('\n');
      let failing = calm;
      const fault = async (): Promise<void> => {
        await sleep(FULL_FROM_SECONDS * 1e3);
        writeFileSync(fullWhile, '');
        await sleep((FULL_UNTIL_SECONDS - FULL_FROM_SECONDS) * 1e3);
        failing = (await breakerSamples(target)).join('\n');
        rmSync(fullWhile);
      };
      const [result] = await Promise.all([
        stage.load('full disk', target, {
          clients: CLIENTS,
          load: { kind: 'open', ratePerSecond: RATE, durationMs: DURATION_MS },
        }),
        fault(),
      ]);
      expectOrderlyAnswers(stage, [{ name: 'full disk', result }]);
      const during = successesBetween(result, FULL_FROM_SECONDS + SETTLE_SECONDS, FULL_UNTIL_SECONDS);
      const refused = during.reduce((sum, { outcomes }) => sum + (outcomes['503'] ?? 0), 0);
      stage.expect('503 while the disk is full', refused > 0, `${formatCount(refused)} × 503`);
      stage.expect(
        'the breaker shows in GET /metrics',
        failing !== calm,
        failing === calm ? 'no change' : failing,
      );
      const after = successesBetween(result, FULL_UNTIL_SECONDS + RECOVERY_SECONDS, Number.POSITIVE_INFINITY);
      stage.expect(
        `nothing but 2xx from ${RECOVERY_SECONDS} s after the disk has room again`,
        after.length > 0 && after.every(isAll),
        `${after.filter(isAll).length} of ${after.length} seconds`,
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
