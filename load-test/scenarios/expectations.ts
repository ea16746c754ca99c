/** Expectations that several scenarios share. */
import { formatCount, formatShare } from '../format.ts';
import { countOf, isSuccess, type LoadResult } from '../plan.ts';
import { outcomesText } from '../progress.ts';
import type { Stage, Step } from './scenario.ts';

/** The first phase that has a bounded queue and needs no thread for each request. */
const POOL_PHASE = 6;

/** Earlier phases may refuse what the later ones take. */
export const isPooled = (stage: Stage): boolean => (stage.options.phase ?? POOL_PHASE) >= POOL_PHASE;

/** Requests due that were answered with 2xx. */
export function successShare({ outcomes, intended }: LoadResult): number {
  return intended === 0 ? 0 : countOf(outcomes, isSuccess) / intended;
}

const ANSWER_ALLOWED = /^(2\d\d|429|503)$/;

/** Every answer is a success or a refusal that says when to come again. */
export function expectOrderlyAnswers(stage: Stage, steps: readonly Step[]): void {
  const wrong = steps.filter(
    ({ result }) => countOf(result.outcomes, (outcome) => !ANSWER_ALLOWED.test(outcome)) > 0,
  );
  stage.expect(
    'every request gets an answer: 2xx, 429 or 503',
    wrong.length === 0,
    wrong.length === 0
      ? `${formatCount(steps.reduce((sum, { result }) => sum + result.sent, 0))} answers`
      : wrong.map(({ name, result }) => `${name}: ${outcomesText(result.outcomes)}`).join('; '),
  );
  const without = steps.reduce((sum, { result }) => sum + result.withoutRetryAfter, 0);
  const refusals = steps.reduce(
    (sum, { result }) => sum + countOf(result.outcomes, (outcome) => outcome === '429' || outcome === '503'),
    0,
  );
  stage.expect(
    'each 429 and 503 carries Retry-After',
    without === 0,
    `${formatCount(refusals)} refusals, ${formatCount(without)} without it`,
  );
}

export function expectAllSucceed(stage: Stage, steps: readonly Step[]): void {
  const wrong = steps.filter(({ result }) => successShare(result) < 1);
  stage.expect(
    `every request of ${steps.length === 1 ? steps[0]?.name : 'every load'} succeeds`,
    wrong.length === 0,
    wrong.length === 0
      ? '100%'
      : wrong.map(({ name, result }) => `${name}: ${formatShare(successShare(result))}`).join('; '),
  );
}
