/**
 * From commit to durable: appending with fdatasync, as group commit does, against the back-ends of the write-ahead log.
 *
 *     npm run bench -- --only=wal
 *     node dist/bench/wal/main.js --dir /mnt/loop      # on another file system
 *
 * Each commit waits for the one before. Each case has a process of its own, as in production: where both ran in one
 * process, io_uring took three times as long. Rounds take turns; every byte is read back.
 */
import fs from 'node:fs';
import { type Fork, withForks } from '../harness/forks.ts';
import { options, roundsOr, smokeRun } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { printTable } from '../report/table.ts';
import { medianOf, rangeOf } from '../statistics.ts';
import { CASES, type Figures, type Order } from './setting.ts';

const KIB = 1_024;
const SIZES = [4 * KIB, 64 * KIB, 1024 * KIB];
/** Bytes of one round, so that rounds of all sizes take about as long. */
const ROUND_BYTES = smokeRun ? 256 * KIB : 8 << 20;
const COMMITS_MAX = smokeRun ? 8 : 400;
const COMMITS_MIN = 4;
const ROUNDS = smokeRun ? 1 : roundsOr(7);
const CHILD = new URL('./child.js', import.meta.url);

const root = options.dir ?? '.artifacts/bench-wal';

const orderOf = (bytes: number): Order => ({
  bytes,
  commits: Math.max(COMMITS_MIN, Math.min(COMMITS_MAX, Math.floor(ROUND_BYTES / bytes))),
});

fs.mkdirSync(root, { recursive: true });
const forks = CASES.map((name): Fork => ({ name, script: CHILD, args: [name, root] }));
await withForks(forks, async (ask) => {
  for (const bytes of SIZES) {
    const measure = async (name: string) => (await ask(name, orderOf(bytes))) as Figures;
    const figures = await takeTurns(CASES, ROUNDS, measure, smokeRun ? 0 : 1);
    const title = `write-ahead log, commits of ${bytes / KIB} KiB`;
    if (smokeRun) {
      console.log(`${title}: verified`);
      continue;
    }
    const base = figures.get(CASES[0])!;
    const text = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
    console.log(`${title} (${ROUNDS} rounds, ${root}; ${machine()})`);
    printTable({
      head: ['', 'µs a commit', 'ratio', 'CPU µs, process', 'CPU µs, machine'],
      rows: [...figures].map(([name, rounds]) => [
        name,
        withRange(rangeOf(rounds.map(({ us }) => us)), text),
        withRange(rangeOf(rounds.map(({ us }, k) => us / base[k]!.us)), text),
        text(medianOf(rounds.map(({ cpuUs }) => cpuUs))),
        text(medianOf(rounds.map(({ machineCpuUs }) => machineCpuUs))),
      ]),
    });
  }
});
