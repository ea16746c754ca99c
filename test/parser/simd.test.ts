import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createParser, unavailable } from '../../src/parser/simd/simd.ts';
import { parserContract } from './contract.ts';
import { parserProperties } from './properties.ts';

describe('SIMD parser', () => {
  it('runs its module here', () => assert.equal(unavailable, null));
});

parserContract('SIMD', createParser);
parserProperties('SIMD', createParser);
