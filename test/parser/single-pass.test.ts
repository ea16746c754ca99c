import { createParser } from '../../src/parser/single-pass/single-pass.ts';
import { parserContract } from './contract.ts';
import { parserProperties } from './properties.ts';

parserContract('single pass', createParser);
parserProperties('single pass', createParser);
