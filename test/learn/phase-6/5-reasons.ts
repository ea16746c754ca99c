import { Gate } from '../../../src/admission/gate.ts';
import { Control, createControlBlock, DISK_REFUSING, DRAINING } from '../../../src/base/control.ts';
import { Breaker, createBreakerMemory } from '../../../src/breaker/breaker.ts';
import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { BREAKER_DEFAULTS } from '../../support/writer-rig.ts';

export const check: StepModule['check'] = () => {
  const control = new Control(createControlBlock());
  const queue = new TaskQueue<number>(1);
  const gate = new Gate(control, new Breaker(createBreakerMemory(BREAKER_DEFAULTS)), queue, null);
  const reason = (): string => gate.atHeaders(0) ?? 'admitted';
  expectEqual(reason(), 'admitted', { did: 'All is well. A request arrived.' });
  queue.push(1, 1, 0);
  expectEqual(reason(), 'queue_full', { did: 'The queue is full. A request arrived.' });
  control.disk = DISK_REFUSING;
  expectEqual(reason(), 'disk_failed', {
    did: 'The disk refuses writes, and the queue is full. A request arrived.',
    so: 'the reason hides the cause',
  });
  queue.shift();
  expectEqual(reason(), 'disk_failed', { did: 'The disk refuses writes, and the queue is empty.' });
  const ending = new Control(createControlBlock());
  ending.lifecycle = DRAINING;
  queue.push(2, 2, 0);
  const other = new Gate(ending, new Breaker(createBreakerMemory(BREAKER_DEFAULTS)), queue, null);
  expectEqual(other.atHeaders(0), 'draining', {
    did: 'The server drains, and the queue is full. A request arrived.',
  });
};

const FILE = 'src/admission/gate.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the queue first',
    file: FILE,
    find: "return this.stateReason ?? (this.queue.isFull ? 'queue_full' : null);",
    replace: "return this.queue.isFull ? 'queue_full' : this.stateReason;",
  },
  {
    mistake: 'the queue has no bound',
    file: FILE,
    find: "return this.stateReason ?? (this.queue.isFull ? 'queue_full' : null);",
    replace: 'return this.stateReason;',
  },
];
