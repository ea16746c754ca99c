/** Run as a process of its own: takes a data directory's lock, says so, and holds it until it is killed. */
import { acquireDataDir } from '../../src/storage/data-dir.ts';

const [, , path] = process.argv;
try {
  await acquireDataDir(path ?? '');
  process.stdout.write('owned\n');
  setInterval(() => {}, 1_000);
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
  process.exit(3);
}
