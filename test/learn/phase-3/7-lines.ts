import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/body.ts';
const good = (n: number): string => `{"name":"m${n}","value":${n}}`;
const lines = (...texts: readonly string[]) => ({ body: texts.join('\n'), lines: true });

export const check: StepModule['check'] = () =>
  checkBodies(7, [
    { ...lines(good(0), good(1), ''), so: 'a line is an item' },
    { ...lines(good(0), '', '  ', good(1)), so: 'empty lines are not counted' },
    { ...lines(good(0), '{"name":"a",', good(2)), so: 'a broken line rejects only itself' },
    { ...lines(good(0), '7', good(2)), so: 'a line that is not an object is invalid' },
    { ...lines(`${good(0)} x`, good(1)), so: 'something follows the item in its line' },
    { ...lines(`${good(0)} `, good(1)) },
    { ...lines('{"name":"a","value":1e999}', '{"name":"b","value":"\\x"}', good(2)) },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'anything may follow an item in its line',
    file: FILE,
    find: "        if (B[end] !== NEWLINE && end !== bodyBytes) end = fail(end, 'TRAILING');\n",
    replace: '        end = lineEnd(end);\n',
  },
  {
    mistake: 'a broken line is dropped without an error',
    file: FILE,
    find: '      if (end < 0) end = rejectLine(index);\n',
    replace: '      if (end < 0) end = lineEnd(failureOffset);\n',
  },
  {
    mistake: 'white space before the line end is an error',
    file: FILE,
    find: '        end = skipSpace(end);\n        if (B[end] !== NEWLINE',
    replace: '        if (B[end] !== NEWLINE',
  },
];
