/** Sends each body once, and compares the metrics that the server returns with those sent. */
import { withServer } from '../under-test/process.ts';
import type { Contender } from './contenders.ts';
import { firstStamp } from './peer-cell.ts';
import { StampedClient } from './stamped-client.ts';
import { type StampedWorkload, stampedMetrics } from './stamped-workload.ts';
import type { StoredMetric } from './storage.ts';

function keyOf({ name, timestamp, tags }: StoredMetric): string {
  const sorted = Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([name, timestamp, sorted]);
}

function valuesByKey(metrics: readonly StoredMetric[]): Map<string, number> {
  const values = new Map<string, number>();
  for (const metric of metrics) {
    const key = keyOf(metric);
    if (values.has(key)) throw new Error(`${key} is there twice`);
    values.set(key, metric.value);
  }
  return values;
}

/** Returns how many metrics were checked. @throws with the first difference */
export function checkRoundTrip(
  contender: Contender,
  workload: StampedWorkload,
  scratch: string,
): Promise<number> {
  return withServer(scratch, contender.start, async (child, dataDir) => {
    const first = firstStamp();
    const { path, encoding } = contender;
    const requests = workload.bodies.length;
    const client = new StampedClient({
      ...{ port: child.port, path, encoding, workload },
      ...{ connections: 1, firstStamp: first, requests },
    });
    await client.run();
    const { acknowledged, refused } = client.ledger;
    if (acknowledged !== requests) throw new Error(`${refused} requests refused`);
    const sent = workload.bodies.flatMap((metrics, index) => stampedMetrics(metrics, first + index));
    const expected = valuesByKey(sent.map((m) => ({ ...m, name: contender.storedName(m.name) })));
    const found = valuesByKey(await contender.storage(child, dataDir).metrics());
    for (const [key, value] of expected) {
      if (found.get(key) !== value) throw new Error(`${key}: ${value} sent, ${found.get(key)} stored`);
    }
    if (found.size !== expected.size) throw new Error(`${found.size} metrics, ${expected.size} sent`);
    await child.stop();
    return found.size;
  });
}
