/** A process that acquires a data directory's lock, reports it, and holds it until it is killed. */
import { acquireDataDir } from '../../src/storage/data-dir.ts';

const [, , path] = process.argv;
try {
  const { unprotected } = await acquireDataDir(path ?? '');
  process.stdout.write(unprotected === null ? 'owned\n' : `owned: ${unprotected}\n`);
  setInterval(() => {}, 1_000);
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
  process.exit(3);
}
