// Compiles the SIMD parser's AssemblyScript to dist/src/parser/simd/items.wasm, unless it is newer than its sources.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const SOURCES = 'src/parser/simd/assembly';
const TARGET = 'dist/src/parser/simd/items.wasm';
const OPTIONS = [
  ...['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--enable', 'simd'],
  // The parser creates the memory; the module has no data of its own.
  ...['--importMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
];

function isCurrent() {
  const builtMs = statSync(TARGET, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const inputs = readdirSync(SOURCES).map((name) => join(SOURCES, name));
  return [...inputs, fileURLToPath(import.meta.url)].every((path) => statSync(path).mtimeMs < builtMs);
}

if (!isCurrent()) {
  mkdirSync(dirname(TARGET), { recursive: true });
  // The compiler takes half a second to load.
  const { default: asc } = await import('assemblyscript/asc');
  const { error, stderr } = await asc.main([join(SOURCES, 'run.ts'), '-o', TARGET, ...OPTIONS]);
  if (error) {
    console.error(`${stderr}The SIMD parser does not compile; see the errors above.`);
    process.exit(1);
  }
}
