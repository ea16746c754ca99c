/** One of several threads that report outcomes to one breaker and acquire its permits, as fast as they can. */
import { parentPort } from 'node:worker_threads';
import { Breaker, HALF_OPEN, PERMIT_PERIOD_MS, type Transition } from '../../src/breaker/breaker.ts';
import { awaitStart } from '../support/threads.ts';

export interface BreakerStress {
  readonly memory: SharedArrayBuffer;
  /** A shared clock in milliseconds that all threads read and advance, so that all are in the same second. */
  readonly clock: SharedArrayBuffer;
  readonly seed: number;
  readonly forMs: number;
}

export interface BreakerStressResult {
  /** Transitions that this thread caused, by the state entered. */
  readonly made: readonly number[];
  /** Permits acquired while half open, as `episode:second`. */
  readonly permits: readonly string[];
  readonly operations: number;
}

const secondOf = (nowMs: number): number => Math.floor(nowMs / PERMIT_PERIOD_MS);

function hammer({ memory, clock, seed, forMs }: BreakerStress): BreakerStressResult {
  const breaker = new Breaker(memory);
  const ticks = new Int32Array(clock);
  const made = [0, 0, 0];
  const permits: string[] = [];
  breaker.onTransition = ({ to }: Transition) => {
    made[to]! += 1;
  };
  let state = seed >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  let operations = 0;
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    for (let k = 0; k < 100; k++, operations++) {
      // Pairs with the same operation in the other threads.
      const nowMs = Atomics.add(ticks, 0, random() < 0.2 ? 1 : 0);
      const dice = random();
      if (dice < 0.03) breaker.failed(breaker.episode, nowMs, 'EIO');
      else if (dice < 0.05) breaker.succeeded(breaker.episode, nowMs);
      else if (dice < 0.07) breaker.trip('a test', nowMs);
      else if (dice < 0.15) breaker.tryHalfOpen(nowMs);
      else {
        const before = breaker.episode;
        const taken = breaker.acquirePermit(nowMs);
        // Episodes and seconds only grow. If both are unchanged after the call, the permit belongs to this half-open time,
        // and the breaker did not count it in a later second that another thread saw first.
        const second = secondOf(nowMs);
        const halfOpen = breaker.state === HALF_OPEN && breaker.episode === before;
        if (taken && halfOpen && secondOf(Atomics.load(ticks, 0)) === second)
          permits.push(`${before}:${second}`);
      }
    }
  }
  return { made, permits, operations };
}

parentPort!.postMessage(hammer(awaitStart<BreakerStress>()));
