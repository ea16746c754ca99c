/** Style that a machine can check: direction of imports, file sizes, forbidden texts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCE_LINES_MAX = 400;

/** Paths from the root of all files under a folder whose names match `ending`. */
function filesUnder(folder: string, ending: RegExp): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => ending.test(path) && statSync(join(ROOT, path)).isFile())
    .sort();
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const sources = filesUnder('src', /\.ts$/);
const tests = filesUnder('test', /\.ts$/);
const benches = [...filesUnder('bench', /\.ts$/), ...filesUnder('load-test', /\.ts$/)];

interface Import {
  readonly from: string;
  readonly to: string;
}

const IMPORT =
  /^\s*(?:import|export)\s+[^'"]*?from\s+['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]\s*\)/gm;

/** Imports of other files of the project; dynamic ones too. */
function importsOf(path: string): Import[] {
  return [...read(path).matchAll(IMPORT)].map((match) => ({
    from: path,
    to: normalize(join(dirname(path), match[1] ?? match[2] ?? '')),
  }));
}

const imports = sources.flatMap(importsOf);

/** The node of a file in the graph of layers: its folder of `src`, or the file itself at the root. */
function layerOf(path: string): string {
  const [, name = '', ...rest] = path.split('/');
  return rest.length === 0 ? name : `${name}/`;
}

/** Imports between layers, by `from → to`. */
function layerEdges(all: readonly Import[]): Map<string, Map<string, string[]>> {
  const edges = new Map<string, Map<string, string[]>>();
  for (const { from, to } of all) {
    const [importer, imported] = [layerOf(from), layerOf(to)];
    if (importer === imported || !to.startsWith('src/')) continue;
    const targets = edges.get(importer) ?? new Map<string, string[]>();
    edges.set(importer, targets.set(imported, [...(targets.get(imported) ?? []), `${from} → ${to}`]));
  }
  return edges;
}

/** The layers of one cycle, in order; null when there is none. */
function layerCycle(edges: Map<string, Map<string, string[]>>): string[] | null {
  const done = new Set<string>();
  const visit = (layer: string, path: readonly string[]): string[] | null => {
    if (path.includes(layer)) return [...path.slice(path.indexOf(layer)), layer];
    if (done.has(layer)) return null;
    for (const next of edges.get(layer)?.keys() ?? []) {
      const cycle = visit(next, [...path, layer]);
      if (cycle !== null) return cycle;
    }
    done.add(layer);
    return null;
  };
  for (const layer of edges.keys()) {
    const cycle = visit(layer, []);
    if (cycle !== null) return cycle;
  }
  return null;
}

describe('imports', () => {
  it('between two folders of src go one way', () => {
    const edges = layerEdges(imports);
    for (const [layer, targets] of edges) {
      for (const [other, forth] of targets) {
        const back = edges.get(other)?.get(layer) ?? [];
        const lines = [`${layer} and ${other} import each other:`, ...forth, ...back];
        assert.equal(back.length, 0, lines.join('\n  '));
      }
    }
  });

  it('between the folders of src form no cycle', () => {
    const edges = layerEdges(imports);
    const cycle = layerCycle(edges) ?? [];
    const found = cycle.slice(1).flatMap((layer, index) => edges.get(cycle[index]!)!.get(layer)!);
    assert.deepEqual(found, [], `a cycle: ${cycle.join(' → ')}`);
  });

  it('of base stay in base', () => {
    const outward = imports.filter(
      ({ from, to }) => from.startsWith('src/base/') && !to.startsWith('src/base/'),
    );
    assert.deepEqual(outward, []);
  });

  it('have no cycles', () => {
    const done = new Set<string>();
    const path: string[] = [];
    const visit = (file: string): void => {
      assert.ok(!path.includes(file), `a cycle: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`);
      if (done.has(file)) return;
      path.push(file);
      for (const { from, to } of imports) if (from === file) visit(to);
      path.pop();
      done.add(file);
    };
    for (const file of sources) visit(file);
  });

  it('name files that exist, by their .ts names, and never compiled ones', () => {
    for (const file of [...sources, ...tests, ...benches]) {
      for (const { to } of importsOf(file)) {
        assert.match(to, /\.(ts|json)$/, `${file} imports ${to}`);
        assert.ok(existsSync(join(ROOT, to)), `${file} imports ${to}, which is not there`);
        assert.ok(!to.startsWith('dist'), `${file} imports ${to}`);
      }
    }
  });

  it('of the product refer to neither tests nor benches', () => {
    assert.deepEqual(
      imports.filter(({ to }) => !/^(src|load-test)\/|^package\.json$/.test(to)),
      [],
    );
  });

  it('of packages by the product are dependencies of the product', () => {
    const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as {
      dependencies: Record<string, string>;
      optionalDependencies: Record<string, string>;
    };
    for (const file of sources) {
      for (const match of read(file).matchAll(/^import\s[^'"]*?from\s+['"]([^.'"][^'"]*)['"]/gm)) {
        const name = match[1] ?? '';
        if (name.startsWith('node:')) continue;
        const packageName = name.split('/', name.startsWith('@') ? 2 : 1).join('/');
        // A type is gone after compilation; an optional package itself is loaded by `await import()`.
        const isType = match[0].startsWith('import type ');
        const isListed = packageName in dependencies || (isType && packageName in optionalDependencies);
        assert.ok(isListed, `${file} imports ${name}`);
      }
    }
  });
});

describe('source files', () => {
  it('are no barrels', () => {
    for (const file of sources) {
      assert.ok(!/(^|\/)index\.ts$/.test(file), file);
      const code = read(file)
        .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
        .trim();
      const left = code
        .replace(/export\s+(type\s+)?(\*|\{[^}]*\})(\s+as\s+\w+)?\s+from\s+['"][^'"]+['"];?/g, '')
        .trim();
      assert.notEqual(left, '', `${file} only exports what others do`);
    }
  });

  it(`have at most ${SOURCE_LINES_MAX} lines`, () => {
    const long = sources.map((file) => [file, read(file).split('\n').length - 1] as const);
    assert.deepEqual(
      long.filter(([, lines]) => lines > SOURCE_LINES_MAX),
      [],
    );
  });

  it('have no enum, no namespace, no TODO and no @ts-ignore', () => {
    for (const file of sources) {
      const text = read(file);
      assert.doesNotMatch(text, /^\s*(export\s+)?(const\s+)?enum\s/m, file);
      assert.doesNotMatch(text, /\b(TODO|FIXME|XXX)\b/, file);
      assert.doesNotMatch(text, /@ts-(ignore|nocheck)/, file);
      // It never returns in a deleted working directory: use makeDirectories.
      assert.doesNotMatch(text, /mkdir(Sync)?\([^)]*recursive: true/, file);
    }
  });
});

/** Built from parts, so that this file does not match itself. */
const FORBIDDEN: readonly (readonly [string, RegExp])[] = [
  [
    'a home or work directory of one machine',
    new RegExp(`(^|[\\s"'\`(=:])/(${['work', 'home', 'root', 'Users'].join('|')})/`),
  ],
  ['the host of a package registry', new RegExp(['registry', '\\.', '(npmjs|yarnpkg)'].join(''))],
];

describe('texts', () => {
  const texts = [
    ...[
      ...sources,
      ...tests,
      ...benches,
      ...filesUnder('docs', /\.md$/),
      ...filesUnder('.ci', /./),
      ...filesUnder('scripts', /./),
    ],
    ...['README.md', 'package.json', 'package-lock.json', '.npmrc', '.gitignore'].filter((path) =>
      existsSync(join(ROOT, path)),
    ),
  ];
  for (const [what, pattern] of FORBIDDEN) {
    it(`do not name ${what}`, () => {
      for (const file of texts) {
        const found = read(file)
          .split('\n')
          .findIndex((line) => pattern.test(line));
        assert.equal(found, -1, `${file} line ${found + 1}`);
      }
    });
  }
});

describe('programs that tests require', () => {
  it('are all in the list that scripts/install-tools.mjs installs', () => {
    const installer = read('scripts/install-tools.mjs');
    for (const file of tests) {
      for (const [, program = ''] of read(file).matchAll(/\brequireTool\(\s*'([^']+)'/g)) {
        assert.match(installer, new RegExp(`^  '?${program}'?: '`, 'm'), `${file} requires ${program}`);
      }
    }
  });
});
