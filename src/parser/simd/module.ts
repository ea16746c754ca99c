/** Loads the WebAssembly module that is compiled from `assembly/run.ts`. */
import { existsSync, readFileSync } from 'node:fs';
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
  isFirst: number,
) => number;

/** Instantiates the module. @throws if it was not built, or if this processor has no SIMD instructions */
export function instantiate(memory: WebAssembly.Memory): Run {
  if (!existsSync(FILE)) throw new Error(`${FILE} is missing: run npm run build`);
  const module = new WebAssembly.Module(readFileSync(FILE));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return exports.run as Run;
}
