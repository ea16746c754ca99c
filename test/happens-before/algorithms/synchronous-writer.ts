import type { Layout, Scenario } from '../../../src/happens-before/scenario.ts';
import type * as memoryModule from '../../../src/writer/synchronous/memory.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = Pick<typeof memoryModule, 'createSynchronousMemory' | 'INCIDENTS' | 'SynchronousMemory'>;

const FILE = 'writer/synchronous/memory.js';
const LINE_BYTES = 64;

const LAYOUT: Layout = [
  { name: 'LOCK', byte: 0, bytes: LINE_BYTES },
  { name: 'UNLOCKED_LINES', byte: LINE_BYTES, bytes: LINE_BYTES },
  { name: 'state', byte: 2 * LINE_BYTES, bytes: 3 * LINE_BYTES },
  { name: 'texts', byte: 5 * LINE_BYTES, bytes: 28 * LINE_BYTES },
];

/** So short that a thread sleeps once before it gives the lock up. */
const REQUEST_TIMEOUT_MS = 5;

function sharing(name: string, timeouts: number): Scenario<Modules> {
  return {
    name,
    timeouts,
    operationsMax: 80,
    prepare: ({ createSynchronousMemory, INCIDENTS, SynchronousMemory }) => {
      const memory = createSynchronousMemory();
      const serve = (incident: string) => (): number => {
        const own = new SynchronousMemory(memory, REQUEST_TIMEOUT_MS);
        if (!own.lock()) {
          own.addUnlockedLines(1);
          return 0;
        }
        own.state.bytes += 1;
        own.setText(INCIDENTS, own.text(INCIDENTS) + incident);
        own.unlock();
        return 1;
      };
      const maintain = (): { readonly refused: number; readonly texts: string } => {
        const own = new SynchronousMemory(memory, REQUEST_TIMEOUT_MS);
        const refused = own.resetUnlockedLines();
        if (!own.lock()) return { refused, texts: '' };
        const texts = own.drainText(INCIDENTS);
        own.unlock();
        return { refused, texts };
      };
      return {
        memories: [{ memory, layout: LAYOUT }],
        threads: { serving: serve('a'), 'other serving': serve('b'), writer: maintain },
        checkEnd: ({ serving, 'other serving': other, writer }) => {
          const own = new SynchronousMemory(memory, REQUEST_TIMEOUT_MS);
          const stored = (serving as number) + (other as number);
          const { refused, texts } = writer as ReturnType<typeof maintain>;
          if (own.state.bytes !== stored)
            throw new Error(`${stored} commits, ${own.state.bytes} in the state`);
          const unlocked = refused + own.resetUnlockedLines();
          if (unlocked !== 2 - stored) throw new Error(`${2 - stored} refused, ${unlocked} counted`);
          const found = texts + own.text(INCIDENTS);
          if (found.length !== stored) throw new Error(`${stored} texts, found "${found}"`);
        },
      };
    },
  };
}

export const synchronousWriter: Algorithm<Modules> = {
  name: 'memory of the synchronous writer',
  modules: [FILE],
  breaks: [FILE],
  constants: { SPINS: 0, LOCK_SLICE_MS: 4 },
  scenarios: [
    sharing('two threads store while the writer thread maintains', 0),
    sharing('threads may give up the lock', 2),
  ],
  variants: [
    swap('a lock that is not acquired', FILE, 'const acquired = lock(', 'const acquired = true || lock('),
    swap(
      'count refused lines in two steps',
      FILE,
      'Atomics.add(this.words, UNLOCKED_LINES, lines);',
      'Atomics.store(this.words, UNLOCKED_LINES, Atomics.load(this.words, UNLOCKED_LINES) + lines);',
    ),
    swap(
      'reset refused lines in two steps',
      FILE,
      'return Atomics.exchange(this.words, UNLOCKED_LINES, 0);',
      'const lines = Atomics.load(this.words, UNLOCKED_LINES); Atomics.store(this.words, UNLOCKED_LINES, 0); return lines;',
    ),
  ],
};
