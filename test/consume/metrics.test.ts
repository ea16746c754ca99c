/** The metrics of all workers of `consume` as one text. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { ConsumeMetrics } from '../../src/consume/metrics.ts';
import { SeriesCache } from '../../src/export/postgres/series-cache.ts';
import { exposeSeries } from '../../src/export/postgres/series-metrics.ts';
import { SeriesTable } from '../../src/export/postgres/series-table.ts';

describe('the metrics of consume', () => {
  it('sum the counters of the workers, and average the ratios', async () => {
    const metrics = new ConsumeMetrics();
    for (const [worker, hits] of [10, 6].entries()) {
      const registry = new Registry();
      const cache = new SeriesCache(8);
      Object.assign(cache.stats, { hits, misses: 10 - hits });
      exposeSeries(registry, cache, new SeriesTable(0, pino({ level: 'silent' })));
      metrics.ofWorker(worker, await registry.getMetricsAsJSON());
    }
    const text = await metrics.metrics();
    assert.match(text, /^metricsstream_export_series_cache_hits_total 16$/m);
    assert.match(text, /^metricsstream_export_series_cache_hit_ratio 0\.8$/m);
  });
});
