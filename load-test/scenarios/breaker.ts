/** A disk that fails for a while: does the server's breaker open, and close again? */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSED, OPEN } from '../../src/breaker/breaker.ts';
import { LoadError } from '../errors.ts';
import { faultEnvironment } from '../faults/disk-faults.ts';
import { formatCount } from '../format.ts';
import { countOf, isSuccess, type LoadResult, type Slice } from '../plan.ts';
import { expectOrderlyAnswers } from './expectations.ts';
import type { Scenario, Target } from './scenario.ts';

const RATE = 200;
const CLIENTS = 20;
const DURATION_MS = 15_000;
/** Writes fail from the first of these seconds until the second. */
const FAILS_FROM_SECONDS = 4;
const FAILS_UNTIL_SECONDS = 7;
/** Time after a change in which the seconds are not judged. */
const SETTLE_SECONDS = 1;
/** The breaker may wait this long before it tries the disk again. */
const RECOVERY_SECONDS = 5;

async function breakerSamples({ host, port }: Target): Promise<string[]> {
  const response = await fetch(`http://${host}:${port}/metrics`, { headers: { accept: 'text/plain' } });
  return (await response.text()).split('\n').filter((line) => /^[a-z_]*breaker/.test(line));
}

/** Value of the gauge: one stage has a breaker. */
function stateOf(samples: readonly string[]): number | undefined {
  const sample = samples.find((line) => line.includes('breaker_state'));
  return sample === undefined ? undefined : Number(sample.slice(sample.lastIndexOf(' ')));
}

function successesBetween({ timeline }: LoadResult, fromSeconds: number, untilSeconds: number): Slice[] {
  return timeline.filter(
    ({ atSeconds, seconds }) => atSeconds - seconds >= fromSeconds && atSeconds <= untilSeconds,
  );
}

const isAll = (slice: Slice): boolean => countOf(slice.outcomes, (outcome) => !isSuccess(outcome)) === 0;

export const breaker: Scenario = {
  name: 'breaker',
  title: 'Breaker: writes fail for a while',
  expects:
    'requests get 503 with Retry-After while writes fail, the breaker says in GET /metrics that it is open, and ' +
    'requests succeed again soon after',
  needs: 'a server whose GET /metrics has the state of a breaker',
  async run(stage) {
    const directory = mkdtempSync(join(tmpdir(), 'metricsstream-breaker-'));
    const failsWhile = join(directory, 'fails');
    try {
      const target = await stage.server({
        env: faultEnvironment({ writeError: 'EIO', writeErrorWhile: failsWhile }),
        onlyOwn: 'it makes the disk fail',
      });
      if ((await breakerSamples(target)).length === 0) {
        throw new LoadError('scenario breaker is not available: this server has no breaker');
      }
      let failing: string[] = [];
      const fault = async (): Promise<void> => {
        await sleep(FAILS_FROM_SECONDS * 1e3);
        writeFileSync(failsWhile, '');
        await sleep((FAILS_UNTIL_SECONDS - FAILS_FROM_SECONDS) * 1e3);
        failing = await breakerSamples(target);
        rmSync(failsWhile);
      };
      const [result] = await Promise.all([
        stage.load('failing disk', target, {
          clients: CLIENTS,
          load: { kind: 'open', ratePerSecond: RATE, durationMs: DURATION_MS },
        }),
        fault(),
      ]);
      expectOrderlyAnswers(stage, [{ name: 'failing disk', result }]);
      const during = successesBetween(result, FAILS_FROM_SECONDS + SETTLE_SECONDS, FAILS_UNTIL_SECONDS);
      const refused = during.reduce((sum, { outcomes }) => sum + (outcomes['503'] ?? 0), 0);
      stage.expect('503 while writes fail', refused > 0, `${formatCount(refused)} × 503`);
      stage.expect(
        'GET /metrics says meanwhile that the breaker is open',
        stateOf(failing) === OPEN,
        failing.join(', '),
      );
      const recovered = await breakerSamples(target);
      stage.expect('and in the end that it is closed', stateOf(recovered) === CLOSED, recovered.join(', '));
      const after = successesBetween(
        result,
        FAILS_UNTIL_SECONDS + RECOVERY_SECONDS,
        Number.POSITIVE_INFINITY,
      );
      stage.expect(
        `nothing but 2xx from ${RECOVERY_SECONDS} s after writes succeed again`,
        after.length > 0 && after.every(isAll),
        `${after.filter(isAll).length} of ${after.length} seconds`,
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
