/**
 * `npm run bench`: every component benchmark, one after the other, each in a process of its own. Arguments
 * (`--smoke`, `--json`, `--only=TEXT`) are passed on.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const COMPONENTS = [
  'parser',
  'parser-scaling',
  'limiter',
  'limiter-locks',
  'dispatch',
  'rings',
  'telemetry',
  'auth',
  'crc',
  'writer',
  'writer-batches',
  'pipeline',
] as const;

let failures = 0;
for (const component of COMPONENTS) {
  const script = fileURLToPath(new URL(`./${component}/main.js`, import.meta.url));
  const { status } = spawnSync(process.execPath, [script, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`bench/${component} failed (${status ?? 'killed'})`);
    failures++;
  }
}
process.exit(failures === 0 ? 0 : 1);
