/** Litmus tests: small threads over one memory, run by the checker. */
import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../src/happens-before/check-ordering.ts';
import type { Layout, Report, Scenario, ThreadContext } from '../../src/happens-before/scenario.ts';
import type { open } from './litmus-memory.ts';

type Memory = ReturnType<typeof open>;
export type Body = (memory: Memory, context: ThreadContext) => unknown;

export const MODULE = fileURLToPath(new URL('./litmus-memory.js', import.meta.url));
const BYTES = 64;
export const LAYOUT: Layout = [
  { name: 'DATA', byte: 0, bytes: 8 },
  { name: 'FLAG', byte: 16, bytes: 4 },
  { name: 'OTHER', byte: 32, bytes: 4 },
];
/** Int32 indexes. */
export const DATA = 0;
export const FLAG = 4;
export const OTHER = 8;

interface Options {
  readonly layout?: Layout;
  readonly after?: Readonly<Record<string, readonly string[]>>;
  readonly checkEnd?: (results: Readonly<Record<string, unknown>>) => void;
  readonly timeouts?: number;
  readonly operationsMax?: number;
  readonly executionsMax?: number;
  readonly randomMax?: number;
  readonly seed?: number;
}

export function checkThreads(bodies: Readonly<Record<string, Body>>, options: Options = {}): Promise<Report> {
  const { layout = LAYOUT, after = {}, checkEnd = () => {}, timeouts, operationsMax, ...limits } = options;
  const scenario: Scenario<{ open: typeof open }> = {
    name: 'litmus',
    prepare: (module) => {
      const memory = new SharedArrayBuffer(BYTES);
      const threads = Object.entries(bodies).map(
        ([name, body]) => [name, (context: ThreadContext) => body(module.open(memory), context)] as const,
      );
      return { memories: [{ memory, layout }], threads: Object.fromEntries(threads), after, checkEnd };
    },
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(operationsMax === undefined ? {} : { operationsMax }),
  };
  return checkOrdering({ module: MODULE, scenario, ...limits });
}

export function findings({ races, failures }: Report): string[] {
  return [...races, ...failures].map(({ text }) => text);
}

export const publish: Body = ({ atomics, i32 }) => {
  i32[DATA] = 42;
  atomics.store(i32, FLAG, 1);
};
