import type { StepModule } from '../../../src/learn/step-module.ts';
import { compare, measure, predicted } from './lab.ts';

export const check: StepModule['check'] = async ({ guess, root }) => {
  const prediction = {
    question: 'Each sync takes 100 ms, and 10 clients wait. How many requests a second does phase 0 answer?',
    unit: 'requests a second',
    guess,
    factor: 1.4,
    so: 'one request at a time: a second divided by the time of one, whatever the number of clients',
  };
  predicted(prediction);
  return compare(prediction, (await measure(root, 10, 'synced')).perSecond);
};

export const mutants: StepModule['mutants'] = [];
