/**
 * The parser of phase 7.4: ordinary items go through a WebAssembly module with SIMD instructions, all others through the
 * single pass.
 *
 * The module's memory must exist before the parser's buffers are opened in it, so this file loads them dynamically. If
 * the module cannot run here, `createParser` is that of the single pass, and `unavailable` gives the reason.
 */
import { reserveModuleMemory } from '../memory.ts';
import type { CreateParser } from '../parser.ts';
import { instantiate, type Run } from './module.ts';

/** Why the module cannot run on this thread, or null. */
export let unavailable: string | null = null;

function loadModule(): Run | null {
  try {
    const memory = reserveModuleMemory();
    if (memory !== null) return instantiate(memory);
    unavailable = 'another parser has opened its buffers on this thread';
  } catch (error) {
    unavailable = (error as Error).message;
  }
  return null;
}

const run = loadModule();

export const createParser: CreateParser =
  run === null
    ? (await import('../single-pass/single-pass.ts')).createParser
    : await import('./simd-parser.ts').then(
        ({ SimdParser }) =>
          (limits) =>
            new SimdParser(limits, run),
      );
