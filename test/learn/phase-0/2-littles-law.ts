import type { StepModule } from '../../../src/learn/step-module.ts';
import { measure, predictThenMeasure } from './lab.ts';

export const check = predictThenMeasure(
  {
    question: 'The server of 0.1, now with 5 clients. How many milliseconds does a request take in the mean?',
    unit: 'ms',
    factor: 1.6,
    so: 'clients = throughput × latency: twice the clients, twice the wait',
  },
  async (root) => (await measure(root, 5, 'synced')).meanMs,
);

export const mutants: StepModule['mutants'] = [];
