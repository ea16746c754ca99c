import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

const WHOLE = bodyOf('{"name":"cpu","value":12,"tags":{"host":"a"}}');
const FILE = 'src/parser/single-pass/body.ts';

export const check: StepModule['check'] = () => {
  const so = 'the parser read on past the end of the body, into the one before';
  const cuts = Array.from({ length: WHOLE.length }, (_, bytes) => ({
    body: WHOLE.slice(0, bytes),
    shown: `the first ${bytes} bytes of ${WHOLE}, with the rest of another body after them,`,
    so,
  }));
  checkBodies(8, cuts, true);
  checkBodies(8, [{ body: WHOLE, so }], true);
  checkBodies(8, [{ body: '{"name":"a","value":1}', lines: true, so }], true);
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the sentinel is one byte late',
    file: FILE,
    find: '  B[length] = 0;\n',
    replace: '  B[length + 1] = 0;\n',
  },
  {
    mistake: 'the sentinel is a blank',
    file: FILE,
    find: '  B[length] = 0;\n',
    replace: '  B[length] = 0x20;\n',
    refusedBy: '3.1',
  },
];
