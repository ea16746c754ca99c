import type { StepModule } from '../../../src/learn/step-module.ts';
import { compare, measure, predicted } from './lab.ts';

export const check: StepModule['check'] = async ({ guess, root }) => {
  const prediction = {
    question: 'Ten clients keep the server of 0.1 busy. Which share of the time does it spend in the sync?',
    unit: 'percent',
    guess,
    factor: 1.25,
    so: 'the rest is all that a faster processor, or a second one, could save',
  };
  predicted(prediction);
  return compare(prediction, (await measure(root, 10, 'synced')).syncPercent);
};

export const mutants: StepModule['mutants'] = [];
