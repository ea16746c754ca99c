/** Samples for the tests of telemetry. */
import { Sample } from '../../src/telemetry/sample.ts';

/** A sample of one request; every time is 1 ns unless `fields` says otherwise. */
export function sampleOf(fields: Partial<Sample> = {}): Sample {
  const defaults: Sample = {
    clientHash: 1,
    status: 200,
    metrics: 1,
    receiveNs: 1,
    limitNs: 1,
    parseNs: 1,
    encodeNs: 1,
    queueNs: 1,
    totalNs: 1,
  };
  return Object.assign(new Sample(), defaults, fields);
}
