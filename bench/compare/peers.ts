/** `npm run bench:server -- --peers`: all cells and kills, and the report of them. */
import { execFileSync } from 'node:child_process';
import { machine } from '../harness.ts';
import { CONNECTIONS } from './cell.ts';
import { CONTENDER, type Contender, type ContenderName } from './contenders.ts';
import { type KillResult, killInLoad } from './kill.ts';
import { measurePeerCell } from './peer-cell.ts';
import { checkRoundTrip } from './peer-check.ts';
import { type PeerRound, type PeersInfo, type PeersResults, peersReport } from './peers-report.ts';
import { createStampedWorkload, encodeBody, type StampedWorkload } from './stamped-workload.ts';
import { isOnPath } from './tools.ts';

export interface PeersOptions {
  readonly servers: readonly ContenderName[];
  readonly batches: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** Of each server at each batch size. */
  readonly kills: number;
  readonly scratch: string;
  readonly command: string;
  progress(text: string): void;
}

/** Each try ends at another point between two flushes. */
const KILL_STEP_SECONDS = 1.3;
const SMOKE_BATCH = 100;
const SMOKE_KILL_SECONDS = 0.5;

function isMissing({ from }: Contender): boolean {
  return from !== undefined && !isOnPath(from.program);
}

/** @throws with what to install when a peer is not there */
export function requirePeers(servers: readonly ContenderName[]): void {
  const missing = servers.map((name) => CONTENDER[name]).filter(isMissing);
  const packages = new Set(missing.map(({ from }) => from?.debianPackage));
  if (packages.size === 0) return;
  throw new Error(`not installed: ${[...packages].join(', ')}; apt-get install ${[...packages].join(' ')}`);
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

function infoOf(options: PeersOptions, workloads: readonly StampedWorkload[]): PeersInfo {
  const encodings = new Set(options.servers.map((name) => CONTENDER[name].encoding));
  return {
    command: options.command,
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    versions: versionsOf(options.servers),
    rounds: options.rounds,
    seconds: options.seconds,
    kills: options.kills,
    connections: CONNECTIONS,
    workloads: workloads.map(({ batch, series, digest, bodies }) => ({
      batch,
      series,
      digest,
      bodyBytes: Object.fromEntries(
        [...encodings].map((encoding) => {
          const sizes = bodies.map((metrics) => encodeBody(metrics, encoding).template.length);
          return [encoding.title, sizes.reduce((sum, size) => sum + size, 0) / sizes.length];
        }),
      ),
    })),
  };
}

/** Runs what every server gets in turn; what throws becomes a failure of the report. */
async function inTurns<T>(
  options: PeersOptions,
  workloads: readonly StampedWorkload[],
  what: { readonly turns: number; readonly title: string },
  run: (contender: Contender, workload: StampedWorkload, turn: number) => Promise<[T, string]>,
): Promise<{ results: T[]; failures: string[] }> {
  const results: T[] = [];
  const failures: string[] = [];
  for (let turn = 1; turn <= what.turns; turn++) {
    for (const workload of workloads) {
      for (const server of options.servers) {
        const cell = `${what.title} ${turn}/${what.turns}, ${workload.batch} a request, ${server}`;
        try {
          const [result, figure] = await run(CONTENDER[server], workload, turn);
          results.push(result);
          options.progress(`${cell}: ${figure}`);
        } catch (error) {
          const failure = `${cell}: ${error instanceof Error ? error.message : error}`;
          failures.push(failure);
          options.progress(`FAILED ${failure}`);
        }
      }
    }
  }
  return { results, failures };
}

export interface PeersOutcome {
  readonly text: string;
  readonly data: unknown;
  readonly failed: boolean;
}

export async function comparePeers(options: PeersOptions): Promise<PeersOutcome> {
  const { seconds, scratch } = options;
  const workloads = options.batches.map(createStampedWorkload);
  const cells = await inTurns<PeerRound>(
    options,
    workloads,
    { turns: options.rounds, title: 'round' },
    async (contender, workload, round) => {
      const cell = await measurePeerCell({ contender, workload, seconds, scratch });
      const figure = `${(cell.metricsPerCpuSecond / 1e3).toFixed(1)} thousand metrics per CPU second`;
      return [{ round, ...cell }, figure];
    },
  );
  const kills = await inTurns<KillResult>(
    options,
    workloads,
    { turns: options.kills, title: 'kill' },
    async (contender, workload, turn) => {
      const killAfter = contender.killSeconds + (turn - 1) * KILL_STEP_SECONDS;
      const kill = await killInLoad({ contender, workload, seconds: killAfter, scratch });
      const loss = kill.lost === 0 ? '' : `, the last ${kill.lostSeconds.toFixed(3)} s`;
      return [kill, `${kill.lost} of ${kill.acknowledged} lost${loss}`];
    },
  );
  const info = infoOf(options, workloads);
  const results: PeersResults = {
    cells: cells.results,
    kills: kills.results,
    failures: [...cells.failures, ...kills.failures],
  };
  const setup = options.servers.map((name) => {
    const { label, path, encoding, configuration, acknowledgement } = CONTENDER[name];
    return { name, label, path, encoding: encoding.title, configuration, acknowledgement };
  });
  return {
    text: peersReport(info, results),
    data: { ...info, servers: setup, ...results },
    failed: results.failures.length > 0,
  };
}

/** Each encoding once through its server and back, then one kill of what must not lose anything; prints no figures. */
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
      const { lost, acknowledged } = await killInLoad({
        contender,
        workload,
        seconds: SMOKE_KILL_SECONDS,
        scratch,
      });
      if (lost > 0) throw new Error(`${lost} of ${acknowledged} acknowledged metrics lost after kill -9`);
    } catch (error) {
      failed = true;
      progress(`${contender.label}: FAILED: ${error instanceof Error ? error.message : error}`);
    }
  }
  return failed;
}
