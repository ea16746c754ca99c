/** Entry point of the writer thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../base/bell.ts';
import { Control } from '../base/control.ts';
import { Histograms, WRITER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import { ThreadSampler } from '../telemetry/thread-stats.ts';
import { type FileOps, nodeFileOps } from '../writer/file-ops.ts';
import { JournalConsumer } from '../writer/journal-ring.ts';
import { Writer, type WriterMessage, type WriterThreadData } from '../writer/writer.ts';

/** For tests only: path of a module whose `createFileOps()` takes the file system's place and makes it fail. */
const TEST_FILE_OPS = 'METRICSSTREAM_TEST_FILE_OPS';

async function loadFileOps(): Promise<FileOps> {
  const path = process.env[TEST_FILE_OPS];
  if (path === undefined) return nodeFileOps;
  const module = (await import(path)) as { createFileOps(): FileOps };
  return module.createFileOps();
}

const data = workerData as WriterThreadData;
const report = (message: WriterMessage): void => parentPort!.postMessage(message);
// The writer blocks in system calls and turns its event loop about once a second: its delays would mean nothing.
const sampler = new ThreadSampler(data.stats, false);
const writer = new Writer(data.config, {
  ops: await loadFileOps(),
  journals: data.journals.map((memory) => new JournalConsumer(memory)),
  bell: new Bell(data.bell),
  control: new Control(data.control),
  counters: new Float64Array(data.counters),
  histograms: new Histograms(data.histograms, WRITER_HISTOGRAM_NAMES),
  nextCommit: data.nextCommit,
  nextSegment: data.nextSegment,
  report,
  sample: () => sampler.sample(),
});
report({ kind: 'ready' });
await writer.run();
sampler.stop();
