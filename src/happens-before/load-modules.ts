/**
 * Loads compiled modules, with everything they import, so that they see other globals and, if wanted, other code.
 *
 * The files are copied into a temporary folder in which each begins with declarations of the globals. They are ordinary
 * modules otherwise: lines keep their numbers.
 */
import fs from 'node:fs';
import os from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface Changes {
  /** Values of module-level constants by name, for example smaller capacities. Each must be declared. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Called with the path and the compiled text of each module; returns the text to load. */
  readonly rewrite?: (path: string, text: string) => string;
}

export interface LoadedModules {
  /** The exports of all entries. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** The compiled file that was copied to `path`; null if `path` is not a copy. */
  originalOf(path: string): string | null;
}

const IMPORT = /\bfrom '(\.[^']+)'/g;

/** The files that `entries` import, transitively, with their texts. */
function closureOf(entries: readonly string[]): Map<string, string> {
  const texts = new Map<string, string>();
  const pending = [...entries];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (texts.has(path)) continue;
    const text = fs.readFileSync(path, 'utf8');
    texts.set(path, text);
    for (const [, specifier = ''] of text.matchAll(IMPORT)) pending.push(resolve(dirname(path), specifier));
  }
  return texts;
}

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (paths.some((path) => relative(folder, path).startsWith('..'))) folder = dirname(folder);
  return folder;
}

function change(texts: Map<string, string>, { constants = {}, rewrite }: Changes): void {
  if (rewrite !== undefined) for (const [path, text] of texts) texts.set(path, rewrite(path, text));
  for (const [name, value] of Object.entries(constants)) {
    const declaration = new RegExp(`^(export )?const ${name} = [^;]+;`, 'm');
    const file = [...texts.keys()].find((path) => declaration.test(texts.get(path)!));
    if (file === undefined) throw new Error(`no module declares the constant ${name}`);
    texts.set(file, texts.get(file)!.replace(declaration, `$1const ${name} = ${value};`));
  }
}

/** True if the module imports something of this name, so that it does not see the global. */
function importsName(text: string, name: string): boolean {
  return new RegExp(`^import [^;]*\\b${name}\\b[^;]* from `, 'm').test(text);
}

/** @param globals names and values that the modules see  @param zlib replaces `node:zlib` */
export async function loadModules(
  entries: readonly string[],
  globals: Readonly<Record<string, unknown>>,
  zlib: unknown,
  changes: Changes,
): Promise<LoadedModules> {
  const texts = closureOf(entries);
  change(texts, changes);
  const base = commonFolder([...texts.keys()]);
  // The real path, because stacks show it.
  const folder = fs.realpathSync(fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-check-')));
  const key = `happens-before ${folder}`;
  const slot = globalThis as unknown as Record<string, unknown>;
  slot[key] = { globals, zlib };
  const preludeFor = (text: string) => {
    const names = Object.keys(globals).filter((name) => !importsName(text, name));
    return `const { ${names.join(', ')} } = globalThis[${JSON.stringify(key)}].globals; `;
  };
  try {
    fs.writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    fs.writeFileSync(join(folder, 'zlib.js'), `export default globalThis[${JSON.stringify(key)}].zlib;`);
    for (const [path, text] of texts) {
      const copy = join(folder, relative(base, path));
      fs.mkdirSync(dirname(copy), { recursive: true });
      const zlibUrl = pathToFileURL(join(folder, 'zlib.js')).href;
      const code = text
        .replace(`from 'node:zlib'`, `from '${zlibUrl}'`)
        .replace(/^\/\/# sourceMappingURL.*$/m, '');
      fs.writeFileSync(copy, preludeFor(text) + code);
    }
    const modules: object[] = [];
    for (const entry of entries)
      modules.push(await import(pathToFileURL(join(folder, relative(base, entry))).href));
    return {
      exports: Object.assign({}, ...modules),
      originalOf: (path) => {
        const file = path.startsWith('file:') ? fileURLToPath(path) : path;
        return file.startsWith(`${folder}/`) ? join(base, file.slice(folder.length + 1)) : null;
      },
    };
  } finally {
    delete slot[key];
    fs.rmSync(folder, { recursive: true });
  }
}
