/**
 * Resident memory of the server at its default settings under load for minutes: at most 200 MB, and flat. The
 * defaults include the request limit, so the server refuses most of what wrk sends; refusals must not cost memory
 * either.
 */
import { memorySlope, watchMemory } from '../../load-test/memory-watch.ts';
import { memoryOf } from '../../load-test/server-process.ts';
import { whole } from '../report/numbers.ts';
import { type Origin, originTable } from '../report/origin.ts';
import { markdownTable } from '../report/table.ts';
import { LOAD_CORE, serveArgs, startChild, withServer } from '../under-test/process.ts';
import { createWorkload, writeWrkFiles } from '../under-test/workload.ts';
import { CONNECTIONS, runWrk } from '../under-test/wrk.ts';

const LIMIT_BYTES = 200e6;
const MIB = 2 ** 20;
/** A slope below this, after the first fifth of the time, counts as flat. */
const FLAT_MIB_PER_MINUTE = 2;
const SHOWN_ROWS = 20;
/** Metrics a request: at the default limit of 10,000 requests a second some 12 MB/s of files. */
const BATCH = 10;

export type MemoryRun = Origin & Awaited<ReturnType<typeof measureMemory>>;

/** Loads a server at default settings and samples its memory each second. */
export function measureMemory(minutes: number, scratch: string) {
  const start = (dataDir: string) => startChild(serveArgs(dataDir), undefined);
  return withServer(scratch, start, async (child, _dataDir, directory) => {
    const files = writeWrkFiles(directory, createWorkload(BATCH));
    const seconds = Math.round(minutes * 60);
    const load = { port: child.port, files, connections: CONNECTIONS, seconds, core: LOAD_CORE };
    const { samples, end } = watchMemory(child.pid);
    const { responses, refused, socketErrors } = await runWrk(load).finally(end);
    const { peakBytes } = memoryOf(child.pid);
    await child.stop();
    if (socketErrors > 0) throw new Error(`${socketErrors} socket errors or timeouts`);
    const slopeMibPerMinute = memorySlope(samples);
    const passed = peakBytes < LIMIT_BYTES && slopeMibPerMinute < FLAT_MIB_PER_MINUTE;
    return { samples, peakBytes, slopeMibPerMinute, responses, refused, passed };
  });
}

export function memoryBlocks(run: MemoryRun): Record<string, string> {
  const { samples, peakBytes, slopeMibPerMinute, responses, refused, passed } = run;
  const mebibytes = (bytes: number): string => (bytes / MIB).toFixed(1);
  const step = Math.max(1, Math.ceil(samples.length / SHOWN_ROWS));
  const shown = samples.filter((_, index) => index % step === 0);
  return {
    origin: originTable(run, {
      load: `${CONNECTIONS} connections, ${BATCH} metrics a request`,
      answers: whole(responses),
      'refused by the default request limit': whole(refused),
    }),
    verdict: markdownTable({
      head: ['figure', 'measured', 'target', ''],
      rows: [
        ['peak, MiB', mebibytes(peakBytes), `< ${mebibytes(LIMIT_BYTES)}`, ''],
        [
          'growth, MiB a minute',
          slopeMibPerMinute.toFixed(2),
          `< ${FLAT_MIB_PER_MINUTE}`,
          passed ? 'met' : 'MISSED',
        ],
      ],
    }),
    samples: markdownTable({
      head: ['second', 'RSS MiB'],
      rows: shown.map(({ atSeconds, bytes }) => [atSeconds.toFixed(0), mebibytes(bytes)]),
    }),
  };
}
