// Makes a package.json and a lock file with only the packages that `metricsstream learn` needs, in the versions of the
// project's own: a third of all packages, which npm installs in a fifth of the CPU time.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Beside the packages that the server needs: the compiler, and the types of the sources that learners compile. */
const DEVELOPMENT = ['typescript', '@types/node', '@types/pg', '@types/pg-copy-streams'];

const read = (name) => JSON.parse(readFileSync(name, 'utf8'));

/** The entry of the lock file that a package in `folder` gets for `name`: the nearest one; null if none is there. */
function resolve(packages, folder, name) {
  for (let at = folder; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (packages[path] !== undefined) return path;
    if (at === '') return null;
  }
}

/** The entries of the lock file for these packages and all that they need. */
function closure(packages, names) {
  const kept = {};
  const add = (folder, name) => {
    const path = resolve(packages, folder, name);
    if (path === null || kept[path] !== undefined) return;
    kept[path] = packages[path];
    const { dependencies, optionalDependencies, peerDependencies } = packages[path];
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
      add(path, next);
  };
  for (const name of names) add('', name);
  return kept;
}

/** Writes both files into `directory`, for `npm ci` there. */
export function writeLearnPackages(directory) {
  const manifest = read('package.json');
  const lock = read('package-lock.json');
  const devDependencies = Object.fromEntries(
    DEVELOPMENT.map((name) => [name, manifest.devDependencies[name]]),
  );
  const { name, version, type, dependencies, overrides } = manifest;
  const { '': all, ...packages } = lock.packages;
  const kept = closure(packages, [...Object.keys(dependencies), ...DEVELOPMENT]);
  const { optionalDependencies: _, ...own } = { ...all, devDependencies };
  const write = (file, content) => writeFileSync(join(directory, file), JSON.stringify(content));
  mkdirSync(directory, { recursive: true });
  write('package.json', { name, version, private: true, type, dependencies, devDependencies, overrides });
  write('package-lock.json', { ...lock, packages: { '': own, ...kept } });
}
