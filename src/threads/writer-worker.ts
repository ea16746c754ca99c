/** Entry point of the writer thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../base/bell.ts';
import { Control } from '../base/control.ts';
import { Breaker } from '../breaker/breaker.ts';
import { loadWriter, slotsOf } from '../phases.ts';
import { DirectoryIdentity } from '../storage/directory-identity.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { Histograms, WRITER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import { ThreadSampler } from '../telemetry/thread-stats.ts';
import { watchSyncs } from '../writer/watched-syncs.ts';
import type { WriterMessage, WriterThreadData } from '../writer/writer.ts';

const data = workerData as WriterThreadData;
const report = (message: WriterMessage): void => parentPort!.postMessage(message);
// The writer blocks in system calls and turns its event loop about once a second: its delays would mean nothing.
const sampler = new ThreadSampler(data.stats, false);
const { createWriter } = await loadWriter(slotsOf(data.config));
const breaker = new Breaker(data.breaker);
const writer = createWriter({
  memory: data.memory,
  config: data.config,
  ops: watchSyncs(nodeFileOps, breaker),
  bell: new Bell(data.bell),
  control: new Control(data.control),
  breaker,
  counters: new Float64Array(data.counters),
  histograms: new Histograms(data.histograms, WRITER_HISTOGRAM_NAMES),
  recovered: data.recovered,
  directory: new DirectoryIdentity(data.directory),
  report,
  sample: () => sampler.sample(),
});
report({ kind: 'ready' });
await writer.run();
sampler.stop();
