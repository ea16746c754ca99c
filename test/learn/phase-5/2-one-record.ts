import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import type { Sample } from '../../../src/telemetry/sample.ts';
import { sampleOf } from '../../support/samples.ts';
import { openRing, readWhole } from './rings.ts';

const SAMPLE = {
  clientHash: 7,
  status: 200,
  metrics: 3,
  receiveNs: 1.5,
  limitNs: 2,
  parseNs: 3,
  encodeNs: 4,
  queueNs: 5,
  totalNs: 16,
};

export const check: StepModule['check'] = () => {
  const { memory, producer, consumer } = openRing();
  producer.record(sampleOf(SAMPLE));
  producer.publish();
  const [got] = readWhole(consumer);
  expectThat(got !== undefined, {
    did: 'The test recorded one sample, published and drained.',
    expected: 'one record',
    got: 'none',
  });
  for (const field of Object.keys(SAMPLE) as (keyof Sample)[]) {
    expectEqual(got[field], SAMPLE[field], {
      did: `The test recorded one sample with ${field} ${SAMPLE[field]} and drained it.`,
      so: `${field} does not come out as it went in`,
    });
  }
  const times = [...new Float64Array(memory, 3 * 64 + 16, 6)];
  expectEqual(times, [1.5, 2, 3, 4, 5, 16], {
    did: 'The test read the first record in the memory: bytes 16 to 63 of line 3.',
    so: 'the record has another layout than the drawing',
  });
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the index of the other view',
    find: `    const times = line * LINE_F64;
    f64[times + RECEIVE_F64] = sample.receiveNs;`,
    replace: `    const times = line * LINE_I32;
    f64[times + RECEIVE_F64] = sample.receiveNs;`,
  },
  {
    mistake: 'two times swapped when read',
    find: 'sample.limitNs = f64[times + LIMIT_F64]!;',
    replace: 'sample.limitNs = f64[times + PARSE_F64]!;',
  },
  { mistake: 'a time is not written', find: '    f64[times + QUEUE_F64] = sample.queueNs;\n', replace: '' },
];
