/**
 * The memory of a thread's parser, which the SIMD module may share.
 *
 * ```
 *  0           INPUT_AT     … + BODY_CEILING_BYTES       SCRATCH_AT                   LINES_AT
 *  ├ module's ─┼ body, NUL ─┼ slack ─────────────────────┼ keys after unescaping ─────┼ lines of a body ─┤
 *    state
 * ```
 * A WebAssembly memory reserves 10 GB of address space, so only the phase that uses it asks for one. The module's state
 * and the lines exist only there. Untouched pages cost address space and nothing else.
 */
import { BATCH_CEILING, BODY_CEILING_BYTES, INPUT_SLACK_BYTES } from './parser.ts';

const PAGE_BYTES = 65_536;
/** The module's state; `simd/assembly/memory.ts` has its layout. */
const STATE_BYTES = 4096;
export const INPUT_AT = STATE_BYTES;
/** The body, and as much again for its keys after unescaping, which are never longer. */
export const INPUT_BYTES = 2 * (BODY_CEILING_BYTES + INPUT_SLACK_BYTES);
export const LINES_AT = INPUT_AT + INPUT_BYTES;
/** More than `encodedBodyBound` of the largest body and batch, and what the module's last stores may exceed it by. */
const LINES_BYTES = BODY_CEILING_BYTES + 64 * BATCH_CEILING;
const PAGES = Math.ceil((LINES_AT + LINES_BYTES) / PAGE_BYTES);

let reserved: WebAssembly.Memory | null = null;
let opened = false;

/**
 * Makes the parser's memory of this thread a WebAssembly memory. Call before `input-buffer.ts` is loaded.
 * @returns null if the memory is an ordinary one already
 * @throws RangeError if the address space is not available
 */
export function reserveModuleMemory(): WebAssembly.Memory | null {
  if (reserved === null && !opened) reserved = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  return reserved;
}

/** The buffer with INPUT_BYTES from the returned offset on. */
export function openInput(): { buffer: ArrayBuffer; offset: number } {
  opened = true;
  if (reserved !== null) return { buffer: reserved.buffer, offset: INPUT_AT };
  return { buffer: new ArrayBuffer(INPUT_BYTES), offset: 0 };
}
