import { createParser } from '../../src/parser/naive/naive.ts';
import { parserContract } from './contract.ts';
import { parserProperties } from './properties.ts';

parserContract('naive', createParser);
parserProperties('naive', createParser);
