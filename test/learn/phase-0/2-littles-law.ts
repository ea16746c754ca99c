import type { StepModule } from '../../../src/learn/step-module.ts';
import { compare, measure, predicted } from './lab.ts';

export const check: StepModule['check'] = async ({ guess, root }) => {
  const prediction = {
    question: 'The server of 0.1, now with 5 clients. How many milliseconds does a request take in the mean?',
    unit: 'ms',
    guess,
    factor: 1.4,
    so: 'clients = throughput × latency: twice the clients, twice the wait',
  };
  predicted(prediction);
  return compare(prediction, (await measure(root, 5, 'synced')).meanMs);
};

export const mutants: StepModule['mutants'] = [];
