import type { StepModule } from '../../../src/learn/step-module.ts';
import { measure, predictThenMeasure } from './lab.ts';

export const check = predictThenMeasure(
  {
    question: 'Ten clients keep the server of 0.1 busy. Which share of the time does it spend in the sync?',
    unit: 'percent',
    factor: 1.25,
    so: 'the rest is all that a faster processor, or a second one, could save',
  },
  async (root) => (await measure(root, 10, 'synced')).syncPercent,
);

export const mutants: StepModule['mutants'] = [];
