/**
 * The memory that parsers read, one per thread.
 *
 * ```
 *  0                        BODY_CEILING_BYTES      SCRATCH_START                          end
 *  ├ body, sentinel ────────┼ slack ────────────────┼ keys after unescaping ───────────────┤
 * ```
 * It is a module constant of the largest size a body may be configured to have, not sized at start: the optimising
 * compiler folds the address and length of a constant buffer into each access, which makes the single-pass parser a
 * third faster. Only pages that were touched take memory, so the unused part costs address space and nothing else.
 */
import { BODY_CEILING_BYTES, INPUT_SLACK_BYTES } from './parser.ts';

/** Unescaped keys are never longer than the body that they stand in. */
export const SCRATCH_START = BODY_CEILING_BYTES + INPUT_SLACK_BYTES;

const memory = new ArrayBuffer(SCRATCH_START + BODY_CEILING_BYTES + INPUT_SLACK_BYTES);

export const inputBytes = new Uint8Array(memory);
export const inputView = new DataView(memory);
