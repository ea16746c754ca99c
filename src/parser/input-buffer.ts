/**
 * The bytes that parsers read. Each thread has its own.
 *
 * They are module constants with room for the largest configurable body: V8 folds address and length of a constant
 * buffer into each access, which makes the single-pass parser a third faster. `memory.ts` has the layout.
 */
import { INPUT_BYTES, openInput } from './memory.ts';

const { buffer, offset } = openInput();

/** The unescaped keys of a body begin here. */
export const SCRATCH_START = INPUT_BYTES / 2;

export const inputBytes = new Uint8Array(buffer, offset, INPUT_BYTES);
export const inputView = new DataView(buffer, offset, INPUT_BYTES);
