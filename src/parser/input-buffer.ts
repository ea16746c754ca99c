/**
 * The memory that parsers read. Each thread has its own.
 *
 * ```
 *  0                        BODY_CEILING_BYTES      SCRATCH_START                          end
 *  ├ body, sentinel ────────┼ slack ────────────────┼ keys after unescaping ───────────────┤
 * ```
 * It is a module constant with room for the largest configurable body. V8 folds address and length of a constant buffer
 * into each access, which makes the single-pass parser a third faster. Untouched pages cost address space only.
 */
import { BODY_CEILING_BYTES, INPUT_SLACK_BYTES } from './parser.ts';

/** The unescaped keys of a body are never longer than the body. */
export const SCRATCH_START = BODY_CEILING_BYTES + INPUT_SLACK_BYTES;

const memory = new ArrayBuffer(SCRATCH_START + BODY_CEILING_BYTES + INPUT_SLACK_BYTES);

export const inputBytes = new Uint8Array(memory);
export const inputView = new DataView(memory);
