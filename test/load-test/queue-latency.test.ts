/** The queue latency of a load, read from a process behind the log. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { QueueWatch } from '../../load-test/queue-latency.ts';

const WITHIN_MS = 180_000;
/** When the gauges count what the load left: export has shipped it by then, and consume shows it, then has stored it. */
const SHIPPED_MS = 500;
const WAITS_MS = 1_900;
const STORED_MS = 2_900;

/** The metrics of a process that a load reads. */
function exposition(process: string, gauge: string, waiting: number, count: number): string {
  const histogram = `metricsstream_${process}_queue_latency_seconds`;
  return [
    `# TYPE metricsstream_${process}_${gauge} gauge`,
    `metricsstream_${process}_${gauge} ${waiting}`,
    `# TYPE ${histogram} histogram`,
    `${histogram}_bucket{le="0.5"} ${count}`,
    `${histogram}_bucket{le="+Inf"} ${count}`,
    '',
  ].join('\n');
}

describe('the queue latency of a load', () => {
  it('includes the last requests, which gauges of one update a second do not count yet', async (t) => {
    let endedMs = Number.POSITIVE_INFINITY;
    const server = createServer(({ url }, response) => {
      const ms = performance.now() - endedMs;
      response.end(
        url === '/export'
          ? exposition('export', 'lag_bytes', 0, ms < SHIPPED_MS ? 0 : 1)
          : exposition(
              'consume',
              'pending_messages',
              ms >= WAITS_MS && ms < STORED_MS ? 1 : 0,
              ms < STORED_MS ? 0 : 2,
            ),
      );
    });
    t.after(() => server.close().closeAllConnections());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const urls = ['export', 'consume'].map((name) => `http://127.0.0.1:${port}/${name}`);
    const watch = await QueueWatch.start(urls);
    endedMs = performance.now();
    const latencies = await watch.finish(WITHIN_MS);
    assert.deepEqual(
      latencies.map(({ process, latency }) => [process, latency.count, latency.p50Ms]),
      [
        ['export', 1, 500],
        ['consume', 2, 500],
      ],
    );
  });

  it('needs no time without a process to read', async () => {
    const watch = await QueueWatch.start([]);
    assert.deepEqual(await watch.finish(WITHIN_MS), []);
  });
});
