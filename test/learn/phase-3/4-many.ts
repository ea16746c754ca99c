import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/body.ts';
const item = (n: number): string => `{"name":"m${n}","value":${n}}`;

export const check: StepModule['check'] = () =>
  checkBodies(4, [
    { body: bodyOf(item(1), item(2), item(3)), so: 'the items after the first are missing' },
    { body: `{"metrics":[ ${item(1)} , ${item(2)} ]}`, so: 'white space may follow a comma' },
    { body: `{"metrics":[${item(1)} ${item(2)}]}`, so: 'items need a comma between them' },
    {
      body: bodyOf(...Array.from({ length: 9 }, (_, n) => item(n))),
      shown: 'nine items with a limit of eight',
    },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'white space after a comma is an error',
    file: FILE,
    find: `    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);
      continue;`,
    replace: `    if (c === COMMA) {
      i++;
      continue;`,
  },
  {
    mistake: 'commas are optional',
    file: FILE,
    find: `    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);`,
    replace: `    if (c === COMMA || c === OPEN_BRACE) {
      if (c === COMMA) i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);`,
  },
];
