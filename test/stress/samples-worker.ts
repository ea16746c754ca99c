/** Records samples whose times have fixed ratios, as fast as it can, through either implementation. */
import { parentPort } from 'node:worker_threads';
import type { TelemetryModule } from '../../src/telemetry/recorder.ts';
import { Sample } from '../../src/telemetry/sample.ts';
import { awaitStart } from '../support/threads.ts';

export interface Sampling {
  /** Path of the module of the implementation. */
  readonly implementation: string;
  readonly memory: SharedArrayBuffer;
  readonly records: number;
  /** Stages from receive to queue and the total, as multiples of a unit that counts from 1 to `units` repeatedly. */
  readonly ratios: readonly [number, number, number, number, number, number];
  readonly units: number;
  /** Incremented once all are recorded. */
  readonly done: SharedArrayBuffer;
}

const { implementation, memory, records, ratios, units, done } = awaitStart<Sampling>();
const { openRecorder } = (await import(implementation)) as TelemetryModule;
const recorder = openRecorder(memory);
const sample = new Sample();
const [receive, limit, parse, encode, queue, total] = ratios;
for (let n = 0; n < records; n++) {
  const unit = (n % units) + 1;
  sample.clientHash = n;
  sample.status = 200;
  sample.metrics = unit;
  sample.receiveNs = unit * receive;
  sample.limitNs = unit * limit;
  sample.parseNs = unit * parse;
  sample.encodeNs = unit * encode;
  sample.queueNs = unit * queue;
  sample.totalNs = unit * total;
  recorder.record(sample);
  if (n % 16 === 15) recorder.publish();
}
recorder.publish();
// Pairs with the load in the test: all samples are published before it.
Atomics.add(new Int32Array(done), 0, 1);
parentPort!.postMessage(records);
