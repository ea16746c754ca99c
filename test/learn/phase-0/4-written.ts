import type { StepModule } from '../../../src/learn/step-module.ts';
import { measure, predictThenMeasure } from './lab.ts';

export const check = predictThenMeasure(
  {
    question:
      'The same disk with --ack written instead of synced, 10 clients. By which factor does the latency fall?',
    unit: 'times',
    factor: 5,
    so: 'the sync no longer stands between a request and its answer; a power loss now loses up to a second',
  },
  async (root) => {
    const synced = await measure(root, 10, 'synced');
    const written = await measure(root, 10, 'written');
    return synced.meanMs / written.meanMs;
  },
);

export const mutants: StepModule['mutants'] = [];
