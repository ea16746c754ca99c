/** Loads the WebAssembly module that `assembly/run.ts` is compiled to, and tells why it cannot run. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FILE = fileURLToPath(new URL('./items.wasm', import.meta.url));

/** See `assembly/run.ts`. Addresses are those of the module's memory. */
export type Run = (
  i: number,
  end: number,
  out: number,
  limit: number,
  receiptBytes: number,
  isNdjson: number,
) => number;

/** Instantiates the module. Throws if the file is missing or this processor has no SIMD instructions. */
export function instantiate(memory: WebAssembly.Memory): Run {
  const module = new WebAssembly.Module(readFileSync(FILE));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return exports.run as Run;
}
