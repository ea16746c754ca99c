/**
 * The memory that this process may use: the strictest limit of its control groups, or the memory of the machine.
 *
 * `memory.max` and `memory.high` in version 2; `memory.limit_in_bytes` in version 1, where
 * `hierarchical_memory_limit` of `memory.stat` includes groups above the mount point
 * (https://docs.kernel.org/admin-guide/cgroup-v2.html#memory, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html).
 */
import { totalmem } from 'node:os';
import { type LimitReader, strictestLimit } from './control-groups.ts';

/** A group without a limit has `max` in version 2, and a number beyond any machine in version 1. */
function bytesOf(text: string | null | undefined): number {
  const bytes = Number(text?.trim() || Number.NaN);
  return bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
}

const MEMORY_LIMIT: LimitReader = {
  controller: 'memory',
  version2: (read) => Math.min(bytesOf(read('memory.max')), bytesOf(read('memory.high'))),
  version1: (read) => {
    const stat = read('memory.stat') ?? '';
    return Math.min(
      bytesOf(read('memory.limit_in_bytes')),
      bytesOf(/^hierarchical_memory_limit (\d+)$/m.exec(stat)?.[1]),
    );
  },
};

export interface MemorySources {
  /** Root of the file system to read; '/' except in tests. */
  readonly root: string;
  readonly machineBytes: number;
}

export interface MemoryLimit {
  readonly bytes: number;
  /** For messages. */
  readonly source: 'control group' | 'machine';
}

export function memoryLimit(
  { root, machineBytes }: MemorySources = { root: '/', machineBytes: totalmem() },
): MemoryLimit {
  const groupBytes = strictestLimit(root, MEMORY_LIMIT);
  return groupBytes < machineBytes
    ? { bytes: groupBytes, source: 'control group' }
    : { bytes: machineBytes, source: 'machine' };
}
