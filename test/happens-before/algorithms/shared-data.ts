/** Memory of a scenario itself, for example the work that a bell announces. */
import type { Layout } from '../../../src/happens-before/scenario.ts';
import type { open } from '../litmus-memory.ts';

/** The compiled module that opens it, from `dist/src`. */
export const SHARED_DATA = '../test/happens-before/litmus-memory.js';

export interface SharedDataModule {
  readonly open: typeof open;
}

const LINE_BYTES = 64;
export const LINE_I32 = LINE_BYTES / Int32Array.BYTES_PER_ELEMENT;

/** One word on a cache line of its own for each name. */
export function linesOf(...names: readonly string[]): Layout {
  return names.map((name, line) => ({ name, byte: line * LINE_BYTES, bytes: LINE_BYTES }));
}

export function memoryFor(layout: Layout): SharedArrayBuffer {
  return new SharedArrayBuffer(layout.length * LINE_BYTES);
}
