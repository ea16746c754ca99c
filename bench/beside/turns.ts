/** Metrics per CPU second of a server on its core, alone and beside other commands of the program, in turns. */
import { argsOf } from '../compare/cell.ts';
import { CONTENDER } from '../compare/contenders.ts';
import { firstStamp } from '../compare/peer-cell.ts';
import { createStampedWorkload, writeStampedFiles } from '../compare/stamped-workload.ts';
import { takeTurns } from '../harness/turns.ts';
import { percent, whole, withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { printTable } from '../report/table.ts';
import { rangeOf } from '../statistics.ts';
import { start } from '../under-test/command.ts';
import { LOAD_CORE, SERVER_CORE, startChild, withServer } from '../under-test/process.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const SCRATCH = '.artifacts/bench-beside';
const BATCH = 100;
const WARM_UP_SECONDS = 2;
const WARM_UP_STAMPS = 1_000_000;

interface Setting {
  readonly name: string;
  /** Runs beside the server, on both cores, with its data directory; null: nothing does. */
  readonly command: readonly string[] | null;
  /** Called before the server starts: for instance moves other processes. */
  prepare?(): void | Promise<void>;
}

export interface Turns {
  /** The first runs nothing. */
  readonly settings: readonly Setting[];
  readonly rounds: number;
  readonly seconds: number;
  readonly serverArgs?: readonly string[];
  /** Metrics that the command has handled so far. */
  handled(dataDir: string): number | Promise<number>;
}

const workload = createStampedWorkload(BATCH);

/** One load on a new server. @throws when the command has handled nothing of it */
async function measure({ seconds, serverArgs = [], handled }: Turns, { name, command, prepare }: Setting) {
  await prepare?.();
  const startServer = (dataDir: string) =>
    startChild([...argsOf('written', dataDir), ...serverArgs], SERVER_CORE);
  return withServer(SCRATCH, startServer, async (child, dataDir, directory) => {
    const { encoding, path } = CONTENDER.written;
    const files = writeStampedFiles(directory, workload, encoding);
    const load = { port: child.port, path, connections: CONNECTIONS, core: LOAD_CORE };
    const beside = command === null ? null : start([...command, '--data-dir', dataDir]);
    const first = firstStamp();
    await runWrk({ ...load, files: files(first), seconds: WARM_UP_SECONDS });
    const handledBefore = await handled(dataDir);
    const before = cpuSeconds(child.pid);
    const counts = await runWrk({ ...load, files: files(first + WARM_UP_STAMPS), seconds });
    const spent = cpuSeconds(child.pid) - before;
    beside?.kill('SIGTERM');
    await beside?.ended;
    const handledInAll = await handled(dataDir);
    if (beside !== null && handledInAll === 0) throw new Error(`${name}: nothing was handled`);
    const meanwhile = handledInAll - handledBefore;
    await child.stop();
    const stored = (counts.responses - counts.refused) * BATCH;
    const perCpuSecond = stored / spent;
    console.error(`${name}: ${whole(perCpuSecond)} a CPU second, ${whole(meanwhile)} handled`);
    return { perCpuSecond, perSecond: stored / seconds, meanwhile };
  });
}

export async function compareBeside(turns: Turns): Promise<void> {
  const { settings, rounds, seconds } = turns;
  const measured = await takeTurns(settings, rounds, (setting) => measure(turns, setting), 0);
  const alone = measured.get(settings[0]!)!;
  console.log(`${machine()}; ${rounds} rounds of ${seconds} s, ${BATCH} metrics a request`);
  printTable({
    head: ['server', 'metrics a CPU second', 'of alone, by round', 'metrics a second', 'handled meanwhile'],
    rows: [...measured].map(([{ name }, cells]) => [
      name,
      withRange(rangeOf(cells.map(({ perCpuSecond }) => perCpuSecond)), whole),
      // Rounds follow each other, so that each ratio is of the same minute.
      withRange(rangeOf(cells.map((cell, at) => cell.perCpuSecond / alone[at]!.perCpuSecond)), percent),
      withRange(rangeOf(cells.map(({ perSecond }) => perSecond)), whole),
      withRange(rangeOf(cells.map(({ meanwhile }) => meanwhile)), whole),
    ]),
  });
}
