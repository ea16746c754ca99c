import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { EVENT_RING_RECORDS } from '../../../src/telemetry/ring-buffer.ts';
import { openRing, read, recordMany } from './rings.ts';

export const check: StepModule['check'] = () => {
  const { memory, producer, consumer } = openRing();
  recordMany(producer, 0, EVENT_RING_RECORDS);
  expectEqual(consumer.dropped, 0, {
    did: 'The test filled the ring to its last place and read DROPPED.',
    so: 'a record that found room was counted as dropped',
  });
  recordMany(producer, 0, 2);
  expectEqual(consumer.dropped, 2, {
    did: 'The test recorded two more samples into the full ring and read DROPPED.',
    so: consumer.dropped < 2 ? 'a drop was not counted' : 'a drop was counted more than once',
  });
  expectEqual(new Float64Array(memory)[16], 2, { did: 'The test read the first Float64 of line 2.' });
  read(consumer);
  recordMany(producer, 0, 1);
  expectEqual(consumer.dropped, 2, { did: 'The test drained, recorded one more sample and read DROPPED.' });
};

export const mutants: StepModule['mutants'] = [
  { mistake: 'drops are not counted', find: '        f64[DROPPED_F64]! += 1;\n', replace: '' },
  {
    mistake: 'counted at every look at CONSUMED',
    find: '      this.publish();\n',
    replace: '      this.publish();\n      f64[DROPPED_F64]! += 1;\n',
    refusedBy: '5.5',
  },
];
