import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { TokenClock } from '../../../src/limiter/token-clock.ts';

/** Tokens that a bucket lacks at `nowMs` after a charge of `tokens` at `chargedMs`. */
function lackedTokens(chargedMs: number, nowMs: number, tokens: number): number {
  const clock = new TokenClock(10, 5);
  const word = (clock.ceil(chargedMs) + tokens * clock.token) | 0;
  return Math.round(clock.missing(word, clock.floor(nowMs)) / clock.token);
}

export const check: StepModule['check'] = () => {
  const clock = new TokenClock(10, 5);
  const wrapMs = 2 ** 31 / clock.tick / clock.ticksPerMs;
  expectEqual(lackedTokens(1000, 1000, 3), 3, {
    did: 'A bucket was charged 3 tokens, and asked at the same moment.',
  });
  expectEqual(lackedTokens(wrapMs - 50, wrapMs + 50, 3), 2, {
    did: 'A bucket of 10 tokens a second was charged 3 tokens just before the clock wraps, and asked 100 ms later.',
    expected: '2 tokens are missing',
    so: 'a difference of wrapped times must wrap too',
  });
  const lacked = lackedTokens(wrapMs - 1000, wrapMs + 1000, 3);
  expectThat(lacked <= 0, {
    did: 'The same bucket was asked 2 s later, after the wrap.',
    expected: 'it is full: 0 tokens are missing, or fewer',
    got: `${lacked.toLocaleString('en-GB')} are missing`,
    so: 'a full bucket looks empty: the client is refused for nothing',
  });
};

const FILE = 'src/limiter/token-clock.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'no wrap',
    file: FILE,
    find: 'return ((word & ~this.lowMask) - now) | 0;',
    replace: 'return (word & ~this.lowMask) - now;',
  },
  {
    mistake: 'unsigned',
    file: FILE,
    find: 'return ((word & ~this.lowMask) - now) | 0;',
    replace: 'return ((word & ~this.lowMask) - now) >>> 0;',
  },
];
