/** Records samples whose fields all derive from their number, as fast as it can. */
import { parentPort } from 'node:worker_threads';
import { EventRingProducer } from '../../src/telemetry/ring-buffer.ts';
import { Sample } from '../../src/telemetry/sample.ts';
import { awaitStart } from '../support/threads.ts';

export interface Recording {
  readonly ring: SharedArrayBuffer;
  readonly records: number;
  /** Set to 1 once all are recorded. */
  readonly done: SharedArrayBuffer;
}

const { ring, records, done } = awaitStart<Recording>();
const producer = new EventRingProducer(ring);
const sample = new Sample();
for (let n = 0; n < records; n++) {
  sample.clientHash = n;
  sample.status = n ^ 0x5a5a5a5a;
  sample.metrics = -n;
  sample.receiveNs = n + 0.5;
  sample.limitNs = n * 2;
  sample.parseNs = n * 3;
  sample.encodeNs = n * 5;
  sample.queueNs = n * 7;
  sample.totalNs = n * 11;
  producer.record(sample);
  // Batches of all small sizes.
  if (n % 7 === 0 || n % 11 === 0) producer.publish();
}
producer.publish();
// Pairs with the load in the test: all records are published before it.
Atomics.store(new Int32Array(done), 0, 1);
parentPort!.postMessage(records);
