import type { StepModule } from '../../../src/learn/step-module.ts';
import { bodyOf, checkBodies } from './bodies.ts';

const FILE = 'src/parser/single-pass/item.ts';

export const check: StepModule['check'] = () =>
  checkBodies(2, [
    {
      body: bodyOf('{ "name" : "cpu", "value" : 1 }'),
      so: 'a key with white space before its colon is unknown',
    },
    { body: bodyOf(String.raw`{"\u006eame":"cpu","value":1}`), so: 'a key with an escape is unknown' },
    { body: bodyOf('{"unit":{"of":["s",1]},"name":"cpu","value":1}'), so: 'an unknown key ends the item' },
    { body: bodyOf('{"names":"x","name":"cpu","value":1,"":0}') },
    {
      body: bodyOf('{"name":"cpu","value":1,unit:1}'),
      so: 'a key needs quotes, and a negative result of parseKey ends the item',
    },
    { body: bodyOf('{"name""cpu","value":1}') },
  ]);

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the slow path forgets which key it found',
    file: FILE,
    find: '      field = keyField;\n',
    replace: '',
  },
  {
    mistake: 'a broken key goes unnoticed',
    file: FILE,
    find: `      i = parseKey(i);
      if (i < 0) return ERR;`,
    replace: `      i = Math.abs(parseKey(i));`,
  },
];
