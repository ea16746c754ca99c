/**
 * The number of CPUs that this process may use at once: those it may be scheduled on, limited by the CPU time that its
 * control groups grant.
 *
 * A control group limits time, not CPUs: `cpu.max` in version 2, `cpu.cfs_quota_us` and `cpu.cfs_period_us` in version 1
 * (https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html). A limit applies
 * to everything below it, so the search walks up to the mount point. Both versions may be mounted side by side.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

export interface CpuSources {
  /** Root of the file system to read; '/' except in tests. */
  readonly root: string;
  /** CPUs this process may be scheduled on. */
  readonly parallelism: number;
}

/** @returns at least 1; a fraction of a CPU counts as one */
export function availableCpus(
  { root, parallelism }: CpuSources = { root: '/', parallelism: availableParallelism() },
): number {
  const quota = cpuQuota((path) => readText(join(root, path)));
  return Math.max(1, Math.min(parallelism, Math.ceil(quota)));
}

/** Contents of a file, or null if it cannot be read. */
type Read = (path: string) => string | null;

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** CPU seconds per second that the strictest control group grants; Infinity without a limit. */
function cpuQuota(read: Read): number {
  const paths = controlGroupPaths(read('/proc/self/cgroup') ?? '');
  let strictest = Number.POSITIVE_INFINITY;
  for (const mount of cpuMounts(read('/proc/self/mountinfo') ?? '')) {
    const path = mount.version === 2 ? paths.version2 : paths.version1;
    if (path === undefined) continue;
    const quotaOf = mount.version === 2 ? version2Quota : version1Quota;
    for (const directory of upwards(mount, path)) {
      strictest = Math.min(strictest, quotaOf(directory, read));
    }
  }
  return strictest;
}

interface Mount {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** The mounted group; in containers not the root. */
  readonly root: string;
}

/** Mounts of control groups that can limit CPU time; see proc_pid_mountinfo(5). */
function cpuMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line): Mount[] => {
    const [mounted = '', fileSystem = ''] = line.split(' - ');
    const [, , , root = '/', mountPoint = ''] = mounted.split(' ').map(unescapeOctal);
    const [type, , options = ''] = fileSystem.split(' ');
    if (type === 'cgroup2') return [{ version: 2, mountPoint, root }];
    const limitsCpu = type === 'cgroup' && options.split(',').includes('cpu');
    return limitsCpu ? [{ version: 1, mountPoint, root }] : [];
  });
}

/** A blank in a path is \040. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The process's group in the tree of each version. Lines are `number:controllers:path`; see cgroups(7). */
function controlGroupPaths(cgroup: string) {
  const lines = cgroup.split('\n').map((line) => /^(\d+):([^:]*):(.*)$/.exec(line));
  const pathWhere = (wanted: (number: string, controllers: string[]) => boolean): string | undefined =>
    lines.find((match) => match !== null && wanted(match[1]!, match[2]!.split(',')))?.[3];
  return {
    version1: pathWhere((_, controllers) => controllers.includes('cpu')),
    version2: pathWhere((number, controllers) => number === '0' && controllers[0] === ''),
  };
}

/** The directory of group `path`, and all its parents up to the mount point. */
function upwards({ mountPoint, root }: Mount, path: string): string[] {
  const below = root === '/' || path === root || path.startsWith(`${root}/`);
  // A group outside this mount is invisible, but the mounted group still limits the process.
  const relative = below && !path.startsWith('/..') ? path.slice(root === '/' ? 0 : root.length) : '';
  const directories = [mountPoint];
  for (let directory = join(mountPoint, relative); directory.length > mountPoint.length; ) {
    directories.push(directory.replace(/\/$/, ''));
    directory = dirname(directory);
  }
  return directories;
}

function version2Quota(directory: string, read: Read): number {
  const [quota, period] = (read(join(directory, 'cpu.max')) ?? '').split(/\s+/).map(Number);
  return cpus(quota, period);
}

function version1Quota(directory: string, read: Read): number {
  const [quota, period] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) =>
    Number(read(join(directory, name)) ?? Number.NaN),
  );
  return cpus(quota, period);
}

/** Infinity if the quota is `max` or -1, or cannot be read. */
function cpus(quotaUs = Number.NaN, periodUs = Number.NaN): number {
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : Number.POSITIVE_INFINITY;
}
