import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { ThreadRig } from './threads.ts';

const BODY = [123, 34, 97, 34, 125];

export const check: StepModule['check'] = async () => {
  const rig = await ThreadRig.open(1);
  const received = new Uint8Array(64 << 10);
  const body = received.subarray(1_000, 1_000 + BODY.length);
  body.set(BODY);
  rig.admit(body);
  received.fill(0);
  const got = rig.threads[0]!.body;
  expectEqual([...got], BODY, {
    did: 'A request arrived in the receive buffer. Its thread started, and the next bytes overwrote the buffer.',
    so: 'the thread reads what another client sent',
  });
  expectEqual(got.buffer.byteLength, BODY.length, {
    did: "The test measured the memory that moves to the thread: all that the body's array is a view of.",
    so: 'the memory of others moves along, and they lose it',
  });
};

const FILE = 'src/dispatch/thread-per-request.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'another view of the same bytes',
    file: FILE,
    find: 'this.start(exchange, lane, body.slice());',
    replace: 'this.start(exchange, lane, body.subarray());',
  },
  {
    mistake: 'a copy in a buffer that others use too',
    file: FILE,
    find: 'this.start(exchange, lane, body.slice());',
    replace: 'this.start(exchange, lane, Buffer.from(body));',
  },
];
