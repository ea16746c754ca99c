/**
 * The cost of a running exporter for the server beside it: metrics per CPU second of the server alone, beside `export` to
 * PostgreSQL, and beside `export` to NATS, in turns.
 *
 *     npm run bench:beside -- --url postgres://user@host/empty_database
 *
 * The server has one core and wrk the other; exporter, database and nats-server run on both, as they would. Every round checks
 * that the exporter had stored metrics of the load when it ended.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { textTable } from '../../load-test/format.ts';
import { readCursorFiles } from '../../src/storage/cursor-file.ts';
import { argsOf } from '../compare/cell.ts';
import { CONTENDER } from '../compare/contenders.ts';
import { firstStamp } from '../compare/peer-cell.ts';
import {
  createStampedWorkload,
  type StampedWorkload,
  writeStampedFiles,
} from '../compare/stamped-workload.ts';
import { roundsOr } from '../harness/options.ts';
import { withNats } from '../nats/servers.ts';
import { withDatabase } from '../postgres/database.ts';
import { percent, whole, withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { rangeOf } from '../statistics.ts';
import { run } from '../under-test/command.ts';
import { inScratch, LOAD_CORE, MAIN, SERVER_CORE, startChild, withChild } from '../under-test/process.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const SCRATCH = '.artifacts/bench-beside';
const BATCH = 100;
const ROUNDS = roundsOr(6);
const WARM_UP_SECONDS = 2;
const ROUND_SECONDS = 4;

interface Setting {
  readonly name: string;
  /** Where the exporter ships; null: there is none. */
  readonly to: string | null;
}

interface Cell {
  readonly perCpuSecond: number;
  readonly shipped: number;
}

/** One load on a new server. */
function measure(workload: StampedWorkload, { name, to }: Setting): Promise<Cell> {
  return inScratch(SCRATCH, (directory, dataDir) =>
    withChild(startChild(argsOf('written', dataDir), SERVER_CORE), async (child) => {
      const { encoding, path } = CONTENDER.written;
      const files = writeStampedFiles(directory, workload, encoding);
      const load = { port: child.port, path, connections: CONNECTIONS, core: LOAD_CORE };
      const args = [MAIN, 'export', '--to', to ?? '', '--data-dir', dataDir];
      const exporter = to === null ? null : spawn(process.execPath, args, { stdio: 'ignore' });
      const first = firstStamp();
      await runWrk({ ...load, files: files(first), seconds: WARM_UP_SECONDS });
      const before = cpuSeconds(child.pid);
      const counts = await runWrk({ ...load, files: files(first + 1_000_000), seconds: ROUND_SECONDS });
      const spent = cpuSeconds(child.pid) - before;
      if (exporter !== null) {
        const exited = once(exporter, 'exit');
        exporter.kill('SIGTERM');
        await exited;
      }
      const shipped = (await readCursorFiles(dataDir))[0]?.metricsTotal ?? 0;
      if (exporter !== null && shipped === 0) throw new Error(`${name}: nothing was shipped`);
      await child.stop();
      return { perCpuSecond: ((counts.responses - counts.refused) * BATCH) / spent, shipped };
    }),
  );
}

const main = (url: string): Promise<void> =>
  withNats(1, async (nats) => {
    await run(['export', '--to', url, '--init']);
    const settings: readonly Setting[] = [
      { name: 'alone', to: null },
      { name: 'beside export to PostgreSQL', to: url },
      { name: 'beside export to NATS', to: nats.url },
    ];
    const workload = createStampedWorkload(BATCH);
    const cells = settings.map((): Cell[] => []);
    for (let round = 0; round < ROUNDS; round++)
      for (const [index, setting] of settings.entries()) {
        const cell = await measure(workload, setting);
        console.error(
          `${setting.name}: ${whole(cell.perCpuSecond)} a CPU second, ${whole(cell.shipped)} shipped`,
        );
        cells[index]!.push(cell);
      }
    const rates = cells.map((of) => of.map(({ perCpuSecond }) => perCpuSecond));
    const rows = settings.map(({ name }, index) => [
      name,
      withRange(rangeOf(rates[index]!), whole),
      // Rounds follow each other, so that each ratio is of the same minute.
      withRange(rangeOf(rates[index]!.map((rate, round) => rate / rates[0]![round]!)), percent),
      withRange(rangeOf(cells[index]!.map(({ shipped }) => shipped)), whole),
    ]);
    const head = ['server', 'metrics a CPU second', 'of alone, by round', 'shipped meanwhile'];
    console.log(`${machine()}; ${ROUNDS} rounds of ${ROUND_SECONDS} s, ${BATCH} metrics a request`);
    console.log(textTable([head, ...rows]));
  });

await withDatabase(main);
