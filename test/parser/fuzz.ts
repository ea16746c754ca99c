/** `npm run fuzz -- [--bodies N] [--seed S]`: compares the SIMD parser with the single pass for as long as you like. */
import { parseArgs } from 'node:util';
import { monotonicMs } from '../../src/base/clock.ts';
import { testSeed } from './bodies.ts';
import { fuzz } from './simd-differential.ts';

const PROGRESS_MS = 30_000;

const { values } = parseArgs({
  options: { bodies: { type: 'string', default: '10000000' }, seed: { type: 'string' } },
});
const bodies = Number(values.bodies);
const seed = values.seed === undefined ? testSeed() : Number(values.seed);
console.log(`seed ${seed}, ${bodies} bodies`);
let nextMs = monotonicMs() + PROGRESS_MS;
fuzz(seed, bodies, (done) => {
  if (monotonicMs() < nextMs) return;
  console.log(`${done} bodies agree`);
  nextMs += PROGRESS_MS;
});
console.log(`${bodies} bodies agree, seed ${seed}`);
