/** Metrics of the cache of series. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { SeriesCache } from './series-cache.ts';
import type { SeriesTable } from './series-table.ts';

const PREFIX = 'metricsstream_export_series_';

export function exposeSeries(registry: Registry, cache: SeriesCache, table: SeriesTable): void {
  const { stats } = cache;
  const counters: readonly (readonly [string, string, () => number])[] = [
    ['cache_hits', 'Metrics whose series was in the cache.', () => stats.hits],
    ['cache_misses', 'Metrics whose series was not in the cache.', () => stats.misses],
    ['cache_evictions', 'Series that made room in the cache for others.', () => stats.evictions],
    ['created', 'Series added to the database.', () => table.seriesCreated],
  ];
  for (const [name, help, read] of counters) {
    let exposed = 0;
    new Counter({
      name: `${PREFIX}${name}_total`,
      help,
      registers: [registry],
      collect() {
        this.inc(read() - exposed);
        exposed = read();
      },
    });
  }
  new Gauge({
    name: `${PREFIX}cache_bytes`,
    help: 'Memory of the series in the cache.',
    registers: [registry],
    collect() {
      this.set(cache.bytes);
    },
  });
  new Gauge({
    name: `${PREFIX}cache_hit_ratio`,
    help: 'Share of metrics since the start whose series was in the cache.',
    registers: [registry],
    // Of the workers of consume.
    aggregator: 'average',
    collect() {
      const all = stats.hits + stats.misses;
      this.set(all === 0 ? 1 : stats.hits / all);
    },
  });
}
