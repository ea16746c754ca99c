/** The producing thread of step 5.8. */
import { workerData } from 'node:worker_threads';
import { EventRingProducer } from '../../../src/telemetry/ring-buffer.ts';
import { sampleOf } from '../../support/samples.ts';

const BATCH = 64;

const { memory, records } = workerData as { memory: SharedArrayBuffer; records: number };
const producer = new EventRingProducer(memory);
for (let n = 0; n < records; n++) {
  producer.record(sampleOf({ clientHash: n, receiveNs: n, totalNs: n }));
  if (n % BATCH === 0) producer.publish();
}
producer.publish();
