/**
 * Five questions to `metricsstream query` and to VictoriaMetrics over the same samples: times and CPU side by side.
 *
 *     npm run bench:query -- load --metrics 10000000     # stores the samples in both, in .artifacts/bench-query
 *     npm run bench:query -- load --minutes 5            # a part of them; the next call continues
 *     npm run bench:query -- ask                         # asks, and checks that the answers are equal
 *     npm run bench:query -- ask --report docs/results
 *     npm run bench:query -- macros --metrics 5000000    # the macros, which group by the text of tags, and the plain way
 *
 * Load once, then ask as often as wanted: over segments, or over the archive after
 * `metricsstream archive --once --delete-segments --data-dir .artifacts/bench-query/ours`.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { REFUSES_NOTHING, serveArgs, startChild } from '../under-test/process.ts';
import {
  BASE_MS,
  batchesOf,
  hostsFor,
  importLines,
  ndjsonLine,
  type Sample,
  STEP_MS,
  STEPS,
} from './data.ts';
import { measureMacros } from './macros.ts';
import { type Asked, askOurs, askTheirs, bytesIn, evict, startTheirs } from './programs.ts';
import { compareAnswers, type Question, questionsUntil } from './questions.ts';
import { type Costs, type Figures, type Row, writeReport } from './report.ts';

const LINES_PER_POST = 5_000;
const POSTS_AT_ONCE = 4;
const WARM_ROUNDS = 3;
const SEGMENT = /metrics-\d+\.ndjson$/;
const PARQUET = /\.parquet$/;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: 'string', default: '.artifacts/bench-query' },
    metrics: { type: 'string', default: '10000000' },
    minutes: { type: 'string', default: 'Infinity' },
    report: { type: 'string' },
  },
});
const ours = join(values.dir, 'ours');
const theirs = join(values.dir, 'victoria-metrics');

/** The part of the samples that both programs have. */
interface Loaded {
  readonly hosts: number;
  steps: number;
  metrics: number;
}

const loadedPath = join(values.dir, 'loaded.json');

function readLoaded(): Loaded | null {
  return existsSync(loadedPath) ? (JSON.parse(readFileSync(loadedPath, 'utf8')) as Loaded) : null;
}

/** The unfinished load of as many metrics, or the start of a new one. */
function continued(): Loaded {
  const hosts = hostsFor(Number(values.metrics));
  const loaded = readLoaded();
  if (loaded !== null && loaded.hosts === hosts && loaded.steps < STEPS) return loaded;
  rmSync(values.dir, { recursive: true, force: true });
  mkdirSync(ours, { recursive: true });
  mkdirSync(theirs, { recursive: true });
  return { hosts, steps: 0, metrics: 0 };
}

async function post(url: string, type: string, body: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': type }, body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
}

async function postAll(url: string, batch: readonly Sample[]): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < batch.length) {
      const lines = batch.slice(next, next + LINES_PER_POST).map(ndjsonLine);
      next += LINES_PER_POST;
      await post(url, 'application/x-ndjson', lines.join(''));
    }
  };
  await Promise.all(Array.from({ length: POSTS_AT_ONCE }, sender));
}

async function load(): Promise<void> {
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  const loaded = continued();
  // The directory is not complete before the end of this call.
  rmSync(loadedPath, { force: true });
  const server = await startChild(serveArgs(ours, ...REFUSES_NOTHING, '--ack', 'written'), undefined);
  const victoriaMetrics = await startTheirs(theirs);
  for (const { samples, nextStep } of batchesOf(loaded.hosts, loaded.steps)) {
    await Promise.all([
      postAll(`http://127.0.0.1:${server.port}/metrics`, samples),
      post(
        `http://127.0.0.1:${victoriaMetrics.port}/api/v1/import`,
        'application/json',
        [...importLines(samples)].join(''),
      ),
    ]);
    loaded.steps = nextStep;
    loaded.metrics += samples.length;
    process.stdout.write(`\r${loaded.metrics} metrics`);
    if (performance.now() > deadline) break;
  }
  await server.stop();
  // Its orderly end writes all that is in memory.
  await victoriaMetrics.stop();
  writeFileSync(loadedPath, JSON.stringify(loaded));
  console.log(`\nours: ${bytesIn(ours)} bytes; VictoriaMetrics: ${bytesIn(theirs)} bytes`);
  if (loaded.steps < STEPS) console.log(`${loaded.steps} of ${STEPS} steps: load again to continue`);
}

/** Cold, then warm; each answer is compared with theirs. */
async function askBoth(question: Question): Promise<Row> {
  evict(ours);
  const own = Array.from({ length: 1 + WARM_ROUNDS }, () => askOurs(ours, question.sql));
  evict(theirs);
  const child = await startTheirs(theirs);
  const other: Asked[] = [];
  for (let round = 0; round <= WARM_ROUNDS; round++) other.push(await askTheirs(child, question));
  await child.stop();
  for (const { answer } of own) compareAnswers(question, answer, other[0]!.answer);
  const costs = (asked: readonly Asked[]): Costs => {
    const [cold, ...warm] = asked.map(({ wallMs, cpuMs }) => ({ wallMs, cpuMs }));
    return { cold: cold!, warm };
  };
  return { title: question.title, labels: own[0]!.answer.size, ours: costs(own), theirs: costs(other) };
}

async function ask(): Promise<Figures> {
  const loaded = readLoaded();
  if (loaded === null) throw new Error('nothing is loaded: load first');
  const rows: Row[] = [];
  for (const question of questionsUntil(BASE_MS + loaded.steps * STEP_MS)) {
    rows.push(await askBoth(question));
    console.log(JSON.stringify(rows.at(-1)));
  }
  const count = askOurs(ours, `SELECT 'all', count(*) FROM metrics`).answer.get('all');
  if (count !== loaded.metrics) throw new Error(`${count} of ${loaded.metrics} metrics are there`);
  return {
    metrics: loaded.metrics,
    bytes: {
      segments: bytesIn(ours, SEGMENT),
      archive: bytesIn(ours, PARQUET),
      victoriaMetrics: bytesIn(theirs),
    },
    rows,
  };
}

const [action] = positionals;
if (action === 'load') await load();
else if (action === 'ask') {
  const figures = await ask();
  if (values.report !== undefined) writeReport(values.report, figures);
  else console.log(JSON.stringify(figures, null, 1));
} else if (action === 'macros') await measureMacros(values.dir, Number(values.metrics));
else throw new Error('give load, ask or macros');
