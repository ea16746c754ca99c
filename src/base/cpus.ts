/**
 * The number of CPUs that this process may use at once: those it may be scheduled on, limited by the CPU time that its
 * control groups grant.
 *
 * A control group limits time, not CPUs: `cpu.max` in version 2, `cpu.cfs_quota_us` and `cpu.cfs_period_us` in version 1
 * (https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html).
 */
import { availableParallelism } from 'node:os';
import { type LimitReader, strictestLimit } from './control-groups.ts';

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
  const quota = strictestLimit(root, CPU_QUOTA);
  return Math.max(1, Math.min(parallelism, Math.ceil(quota)));
}

/** CPU seconds per second; Infinity if the quota is `max` or -1, or cannot be read. */
const CPU_QUOTA: LimitReader = {
  controller: 'cpu',
  version2: (read) => {
    const [quotaUs, periodUs] = (read('cpu.max') ?? '').split(/\s+/).map(Number);
    return cpus(quotaUs, periodUs);
  },
  version1: (read) => {
    const [quotaUs, periodUs] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) =>
      Number(read(name) ?? Number.NaN),
    );
    return cpus(quotaUs, periodUs);
  },
};

function cpus(quotaUs = Number.NaN, periodUs = Number.NaN): number {
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : Number.POSITIVE_INFINITY;
}
