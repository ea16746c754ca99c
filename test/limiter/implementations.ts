/** The implementations by file name, for threads that load one of them. */
import type { TestedLimiter } from './contract.ts';

export const LIMITERS = {
  'global-lock': () => import('../../src/limiter/global-lock.ts'),
  'lock-free': () => import('../../src/limiter/lock-free.ts'),
  'striped-lock': () => import('../../src/limiter/striped-lock.ts'),
} satisfies Record<string, () => Promise<TestedLimiter>>;

export type LimiterName = keyof typeof LIMITERS;
