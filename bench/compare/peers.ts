/** `npm run bench:server -- --peers`: all cells and kills. */
import { execFileSync } from 'node:child_process';
import { type Measured, measureInTurns } from '../harness/turns.ts';
import { thousands, whole } from '../report/numbers.ts';
import type { Origin } from '../report/origin.ts';
import { mean } from '../statistics.ts';
import { isOnPath, requirePrograms } from '../under-test/requirements.ts';
import { CONNECTIONS } from '../under-test/wrk.ts';
import { CONTENDER, type Contender, type ContenderName } from './contenders.ts';
import { type KillResult, killInLoad } from './kill.ts';
import { measurePeerCell, type PeerRound } from './peer-cell.ts';
import { checkRoundTrip } from './peer-check.ts';
import { createStampedWorkload, encodeBody, type StampedWorkload } from './stamped-workload.ts';

export interface PeersOptions {
  readonly servers: readonly ContenderName[];
  readonly batches: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** Of each server at each batch size. */
  readonly kills: number;
  readonly scratch: string;
  progress(text: string): void;
}

/** Each try ends at another point between two flushes. */
const KILL_STEP_SECONDS = 1.3;
const SMOKE_BATCH = 100;
const SMOKE_KILL_SECONDS = 0.5;

const isMissing = ({ from }: Contender): boolean => from !== undefined && !isOnPath(from.program);

/** @throws with what to install when a peer is missing */
export function requirePeers(servers: readonly ContenderName[]): void {
  const packages = servers.flatMap((name) => CONTENDER[name].from ?? []);
  requirePrograms(Object.fromEntries(packages.map(({ program, debianPackage }) => [program, debianPackage])));
}

function versionsOf(servers: readonly ContenderName[]): string[] {
  const packages = new Set(servers.flatMap((name) => CONTENDER[name].from?.debianPackage ?? []));
  return [...packages].map((name) => {
    try {
      const args = ['-W', '-f', '$' + '{Version}', name];
      return `${name} ${execFileSync('dpkg-query', args, { encoding: 'utf8', stdio: 'pipe' })}`;
    } catch {
      return `${name}, not from a package`;
    }
  });
}

/** Mean body of each encoding that the servers use. */
function bodyBytesOf(servers: readonly ContenderName[], { bodies }: StampedWorkload): Record<string, number> {
  const encodings = new Set(servers.map((name) => CONTENDER[name].encoding));
  return Object.fromEntries(
    [...encodings].map((encoding) => {
      const sizes = bodies.map((metrics) => encodeBody(metrics, encoding).template.length);
      return [encoding.title, mean(sizes)];
    }),
  );
}

/** A run as peers.json holds it. */
export type PeersRun = Origin & Awaited<ReturnType<typeof comparePeers>>;

export async function comparePeers(options: PeersOptions) {
  const { servers, batches, rounds, seconds, kills, scratch, progress } = options;
  const workloads = batches.map(createStampedWorkload);
  const cells = workloads.flatMap((workload) =>
    servers.map((server) => ({ contender: CONTENDER[server], workload })),
  );
  const nameOf = ({ contender, workload }: (typeof cells)[number]): string =>
    `${workload.batch} a request, ${contender.name}`;
  const measured: Measured<PeerRound> = await measureInTurns(
    { title: 'round', rounds, cells, nameOf, progress },
    async (cell, round) => {
      const result = await measurePeerCell({ ...cell, seconds, scratch });
      const figure = `${thousands(result.metricsPerCpuSecond)} thousand metrics per CPU second`;
      return [{ round, ...result }, figure] as const;
    },
  );
  const killed: Measured<KillResult> = await measureInTurns(
    { title: 'kill', rounds: kills, cells, nameOf, progress },
    async (cell, turn) => {
      const killAfter = cell.contender.killSeconds + (turn - 1) * KILL_STEP_SECONDS;
      const kill = await killInLoad({ ...cell, seconds: killAfter, scratch });
      const loss = kill.lost === 0 ? '' : `, the last ${kill.lostSeconds.toFixed(3)} s`;
      return [kill, `${whole(kill.lost)} of ${whole(kill.acknowledged)} lost${loss}`] as const;
    },
  );
  return {
    versions: versionsOf(servers),
    ...{ rounds, seconds, connections: CONNECTIONS },
    workloads: workloads.map((workload) => ({
      batch: workload.batch,
      series: workload.series,
      digest: workload.digest,
      bodyBytes: bodyBytesOf(servers, workload),
    })),
    cells: measured.results,
    kills: killed.results,
    failures: [...measured.failures, ...killed.failures],
  };
}

/** Sends each encoding once through its server and back, then kills the server that must not lose anything. */
export async function smokePeers({ servers, scratch, progress }: PeersOptions): Promise<boolean> {
  const workload = createStampedWorkload(SMOKE_BATCH);
  let failed = false;
  for (const name of servers) {
    const contender = CONTENDER[name];
    if (isMissing(contender)) {
      progress(`${contender.label}: skipped, apt-get install ${contender.from?.debianPackage}`);
      continue;
    }
    try {
      const metrics = await checkRoundTrip(contender, workload, scratch);
      progress(`${contender.label}: ${metrics} metrics verified`);
      if (name !== 'synced') continue;
      const kill = await killInLoad({ contender, workload, seconds: SMOKE_KILL_SECONDS, scratch });
      if (kill.lost > 0) {
        throw new Error(`${kill.lost} of ${kill.acknowledged} acknowledged metrics lost after kill -9`);
      }
    } catch (error) {
      failed = true;
      progress(`${contender.label}: FAILED: ${error instanceof Error ? error.message : error}`);
    }
  }
  return failed;
}
