/** Two more slow disks: one whose syncs take 10 ms whatever their size, and one whose syncs take 200 ms. */

import { faultEnvironment } from '../../load-test/faults/disk-faults.ts';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { cpuSeconds } from '../compare/child.ts';
import { type Exposition, growth, readExposition } from './exposition.ts';
import { correctness, type PartOptions, type PartResult } from './part.ts';
import { between, HEALTH_PROBE, METRICS_PROBE, summarize } from './probes.ts';
import { NO_LIMIT, type ServerUnderLoad, withServer } from './server-under-load.ts';
import { withoutHistograms } from './slow-disk.ts';

const BATCH = 100;
const FIXED_MS = 10;
const FIXED_CLIENTS = [32, 128, 512] as const;
const FIXED_LOAD_MS = 3_000;
const WARM_UP_MS = 1_000;
const STALLING_MS = 200;
const STALLING_RATE = 1_000;
const STALLING_CLIENTS = 512;
const STALLING_LOAD_MS = 15_000;
const SMOKE_MS = 1_000;
const SMOKE_RATE = 200;

interface FixedRow {
  readonly clients: number;
  readonly result: LoadResult;
  readonly cpuShare: number;
  readonly before: Exposition;
  readonly after: Exposition;
}

async function fixedLoad(server: ServerUnderLoad, clients: number): Promise<FixedRow> {
  const load = { kind: 'closed', intervalMs: 0 } as const;
  await server.load({ clients, batch: BATCH, load: { ...load, durationMs: WARM_UP_MS } });
  const before = await readExposition(server.port);
  const cpuBefore = cpuSeconds(server.pid);
  let after = before;
  let cpuAfter = cpuBefore;
  const result = await server.load(
    { clients, batch: BATCH, load: { ...load, durationMs: FIXED_LOAD_MS } },
    {
      onEnded: async () => {
        cpuAfter = cpuSeconds(server.pid);
        after = await readExposition(server.port);
      },
    },
  );
  return { clients, result, cpuShare: (cpuAfter - cpuBefore) / result.seconds, before, after };
}

function fixedCells({ clients, result, cpuShare, before, after }: FixedRow): string[] {
  const grown = (name: string): number => growth(`metricsstream_${name}`, before, after);
  return [
    String(clients),
    formatCount(result.succeeded / result.seconds),
    formatCount((result.outcomes['503'] ?? 0) / result.seconds),
    (grown('syncs_total') / result.seconds).toFixed(0),
    formatCount(grown('stored_bytes_total') / grown('commits_total') / 1024),
    formatMs(result.serviceTime.p50Ms),
    formatMs(result.serviceTime.p99Ms),
    formatShare(cpuShare),
  ];
}

/** A sync that takes as long for any size limits the number of commits, and not their bytes. */
export async function fixedSync(options: PartOptions): Promise<PartResult> {
  const env = faultEnvironment({ syncDelayMs: FIXED_MS });
  return withServer(
    options,
    { args: NO_LIMIT, env },
    [METRICS_PROBE, HEALTH_PROBE],
    async (server, prober) => {
      const rows: FixedRow[] = [];
      const fromMs = monotonicMs();
      for (const clients of FIXED_CLIENTS) rows.push(await fixedLoad(server, clients));
      const untilMs = monotonicMs();
      const probes = await prober.end();
      return {
        name: 'fixed-sync',
        title: `A sync of ${FIXED_MS} ms whatever its size`,
        findings: correctness(
          `sync of ${FIXED_MS} ms`,
          rows.map(({ result }) => result),
        ),
        text: [
          `Closed loops of ${BATCH} metrics a request. A group commit takes all that waits, so a sync that costs the same for any ` +
            'size bounds the number of commits a second and not their size: with few clients they bound the goodput (clients ' +
            'for each commit and its wait), with many the server runs out of CPU (its share of its core), not of disk. ' +
            'That is why the overload above has a disk whose time grows with the bytes.',
        ],
        tables: [
          {
            title: 'What bounds it',
            head: [
              'clients',
              '200/s',
              '503/s',
              'syncs/s',
              'KiB a commit',
              'p50 ms',
              'p99 ms',
              'CPU of its core',
            ],
            rows: rows.map(fixedCells),
          },
        ],
        probes: [METRICS_PROBE, HEALTH_PROBE].map(({ name }) =>
          summarize(
            `sync of ${FIXED_MS} ms, closed loops`,
            name,
            between(probes.get(name)!, fromMs, untilMs),
          ),
        ),
        data: rows.map(({ clients, result, cpuShare }) => ({
          clients,
          cpuShare,
          result: withoutHistograms(result),
        })),
      };
    },
  );
}

/** Syncs far beyond the target delay: are the other endpoints still quick? */
export async function stallingSync(options: PartOptions): Promise<PartResult> {
  const { smoke } = options;
  const env = faultEnvironment({ syncDelayMs: STALLING_MS });
  return withServer(
    options,
    { args: NO_LIMIT, env },
    [METRICS_PROBE, HEALTH_PROBE],
    async (server, prober) => {
      const fromMs = monotonicMs();
      let untilMs = fromMs;
      const result = await server.load(
        {
          clients: STALLING_CLIENTS,
          batch: BATCH,
          load: {
            kind: 'open',
            ratePerSecond: smoke ? SMOKE_RATE : STALLING_RATE,
            durationMs: smoke ? SMOKE_MS : STALLING_LOAD_MS,
          },
        },
        {
          onEnded: async () => {
            untilMs = monotonicMs();
          },
        },
      );
      const probes = await prober.end();
      return {
        name: 'stalling-sync',
        title: `A sync of ${STALLING_MS} ms`,
        findings: correctness(`sync of ${STALLING_MS} ms`, [result]),
        text: [
          `${formatCount(STALLING_RATE)} requests/s of ${BATCH} metrics in an open loop; a sync alone takes four times the target delay, ` +
            'so admission takes what one group holds.',
        ],
        tables: [
          {
            title: 'Answers',
            head: ['200/s', '503/s', 'p50 of 2xx, ms', 'p99', 'max', 'p99 of 503, ms'],
            rows: [
              [
                formatCount((result.outcomes['200'] ?? 0) / result.seconds),
                formatCount((result.outcomes['503'] ?? 0) / result.seconds),
                formatMs(result.serviceTime.p50Ms),
                formatMs(result.serviceTime.p99Ms),
                formatMs(result.serviceTime.maxMs),
                formatMs(result.refusalLatency.p99Ms),
              ],
            ],
          },
        ],
        probes: [METRICS_PROBE, HEALTH_PROBE].map(({ name }) =>
          summarize(`sync of ${STALLING_MS} ms`, name, between(probes.get(name)!, fromMs, untilMs)),
        ),
        data: withoutHistograms(result),
      };
    },
  );
}
