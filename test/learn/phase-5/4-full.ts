import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { EVENT_RING_RECORDS } from '../../../src/telemetry/ring-buffer.ts';
import { openRing, read, recordMany } from './rings.ts';

const EXCESS = 2;

export const check: StepModule['check'] = () => {
  const { producer, consumer } = openRing();
  const sent = EVENT_RING_RECORDS + EXCESS;
  recordMany(producer, 0, sent);
  const published = read(consumer);
  const did = `The test recorded ${sent.toLocaleString('en-GB')} samples and drained once, at the end.`;
  expectEqual(published.length, EVENT_RING_RECORDS, {
    did,
    expected: '8,192 records: a full ring publishes what it has',
    so: 'main never learned of the records that fill the ring',
  });
  expectEqual(published[0], 0, {
    did,
    expected: 'the first record is 0',
    so: 'a record that nobody had read was written over',
  });
  recordMany(producer, -5, 1);
  producer.publish();
  expectEqual(read(consumer), [-5], {
    did: 'After the drain the test recorded sample -5, published and drained.',
    so: 'room that was read is not used again',
  });
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'full one record too late',
    find: `    if (difference(written, this.consumed) === EVENT_RING_RECORDS) {
      // The consumer`,
    replace: `    if (difference(written, this.consumed) > EVENT_RING_RECORDS) {
      // The consumer`,
  },
  {
    mistake: 'the copy of CONSUMED is never renewed',
    find: '      this.consumed = Atomics.load(i32, CONSUMED_I32);\n      //<\n',
    replace: '      //<\n',
    refusedBy: '5.3',
  },
  { mistake: 'a full ring does not publish', find: '      this.publish();\n', replace: '' },
  {
    mistake: 'half the ring stays unused',
    find: `    if (difference(written, this.consumed) === EVENT_RING_RECORDS) {
      // The consumer can only make room for published records.
      this.publish();`,
    replace: `    if (difference(written, this.consumed) === EVENT_RING_RECORDS / 2) {
      // The consumer can only make room for published records.
      this.publish();
      return;`,
    refusedBy: '5.3',
  },
];
