import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/body.ts';

export const check: StepModule['check'] = () =>
  checkBodies(6, [
    { body: '{"metrics":[{"name":"a","value":1},{"name" 1}]}', so: 'the failure does not name its item' },
    { body: '{"metrics":[{"name":"a","value":1}],"x":tru}', so: 'a failure after the items names none' },
    { body: '{"metrics":[{"name":"a","val', so: 'the body ended; that is the reason' },
    { body: '{"metrics":[{"name":"a","value":1}]', so: 'the body ended; that is the reason' },
    { body: '{"metrics":[{"name":"a","value":1}]} \n', so: 'white space may follow' },
    { body: '{"metrics":[{"name":"a","value":1}]}}', so: 'nothing else may follow a body' },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'anything may follow the body',
    file: FILE,
    find: "  return i === bodyBytes ? i : fail(i, 'TRAILING');\n  //<",
    replace: '  return i;\n  //<',
  },
  {
    mistake: 'every failure names an item',
    file: FILE,
    find: 'field: inItems ?',
    replace: 'field: !inItems || inItems ?',
  },
  {
    mistake: 'the end of the body is not named',
    file: FILE,
    find: "const reason = failureOffset >= bodyBytes ? 'END' : failureReason;",
    replace: 'const reason = failureReason;',
  },
];
