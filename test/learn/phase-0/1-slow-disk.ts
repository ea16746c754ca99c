import type { StepModule } from '../../../src/learn/step-module.ts';
import { measure, predictThenMeasure } from './lab.ts';

export const check = predictThenMeasure(
  {
    question: 'Each sync takes 100 ms, and 10 clients wait. How many requests a second does phase 0 answer?',
    unit: 'requests a second',
    factor: 1.6,
    so: 'one request at a time: a second divided by the time of one, whatever the number of clients',
  },
  async (root) => (await measure(root, 10, 'synced')).perSecond,
);

export const mutants: StepModule['mutants'] = [];
