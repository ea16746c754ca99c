/** `npm run bench`: the component benchmarks one after the other, each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** All folders of bench/ with a main.ts that need nothing but this project, and what they measure. */
const COMPONENTS = {
  parser: 'single-pass parser against JSON.parse and a validating walk',
  'parser-scaling': 'time per byte over the size of the body, for three parsers',
  limiter: 'hash, lookup and bucket of one client',
  'limiter-locks': 'charges a second over the number of locks and threads',
  dispatch: 'ways to have a request served by another thread',
  rings: 'counters, histogram and event ring',
  telemetry: 'locked and ring-buffer telemetry in real threads',
  auth: 'token check of a POST',
  crc: 'CRC of the seals',
  writer: 'journal ring',
  'writer-batches': 'lines per commit, for both writers',
  wal: 'from commit to durable, by append and by the write-ahead log',
  pipeline: 'a body from the limiter into the journal',
} as const;

const HELP = `npm run bench [-- OPTIONS]

  --only=NAME    a benchmark of --list, or the comparisons whose title contains NAME
  --list         the benchmarks, and what each measures
  --smoke        verify every case, print no figures
  --json         one JSON object a comparison
  --report DIR   write figures and charts of the benchmarks that have them

  BENCH_ROUNDS and BENCH_ROUND_MS set the number and the length of rounds.
  docs/benchmarks/ describes these and the benchmarks with a command of their own.`;

type Name = keyof typeof COMPONENTS;
const names = Object.keys(COMPONENTS) as Name[];
const args = process.argv.slice(2);

/** A benchmark's own name runs all of it; any other text selects comparisons by their titles. */
function selection(): { wanted: readonly Name[]; passed: readonly string[] } {
  const only = args.find((argument) => argument.startsWith('--only='))?.slice('--only='.length);
  const named = names.find((name) => name === only);
  if (named === undefined) return { wanted: names, passed: args };
  return { wanted: [named], passed: args.filter((argument) => !argument.startsWith('--only=')) };
}

function run(name: Name, passed: readonly string[]): boolean {
  const script = fileURLToPath(new URL(`./${name}/main.js`, import.meta.url));
  const { status } = spawnSync(process.execPath, [script, ...passed], { stdio: 'inherit' });
  if (status !== 0) console.error(`bench/${name} failed (${status ?? 'killed'})`);
  return status === 0;
}

if (args.includes('--help')) console.log(HELP);
else if (args.includes('--list')) {
  for (const name of names) console.log(`${name.padEnd(16)} ${COMPONENTS[name]}`);
} else {
  const { wanted, passed } = selection();
  const failed = wanted.filter((name) => !run(name, passed));
  process.exitCode = failed.length === 0 ? 0 : 1;
}
