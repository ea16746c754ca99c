import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkSet } from './ordering.ts';

export const check: StepModule['check'] = () =>
  checkSet(
    { ways: 2, idleClients: [], threads: [[3], [3]] },
    'The set is empty. Two threads charged the same newcomer.',
    'the set changed between the search and the insertion',
  );

const FILE = 'src/limiter/lock-free-table.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'VERSION is stored, not swapped',
    file: FILE,
    find: '    if (Atomics.compareExchange(i32, set + VERSION, version, pending) !== version) {',
    replace: `    Atomics.store(i32, set + VERSION, pending);
    if (slot < 0) {`,
  },
  {
    mistake: 'the frozen slot is not emptied',
    file: FILE,
    find: '      this.release(slot);\n',
    replace: '',
  },
];
