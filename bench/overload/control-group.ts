/**
 * A control group of Linux for a server under test: at most so much memory, and a share of one core that can be
 * changed while it runs. Version 1 and 2 of the interface, where the user may make groups; see cgroups(7).
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
/** The least quota is 1,000 µs; with a short period no pause is long. */
const PERIOD_US = 4_000;
const REMOVE_TRIES = 20;
const REMOVE_AGAIN_MS = 100;

interface GroupMemory {
  /** Memory that no file backs: heaps, stacks, shared rings. */
  readonly anonymousBytes: number;
  /** Times the limit was met; pages of files were given up then. */
  readonly limitMet: number;
  readonly killed: number;
}

export interface ControlGroup {
  readonly version: 1 | 2;
  /** Makes the command one that joins the group first and then becomes what it was. */
  wrap(command: readonly string[]): string[];
  /** @param share of one core; null: no limit */
  limitCpu(share: number | null): void;
  memory(): GroupMemory;
  /** Once every process in it has ended. */
  remove(): Promise<void>;
}

const quotaUs = (share: number): number => Math.max(1_000, Math.round(share * PERIOD_US));

/** The number after `name` in a file of lines `name number`. */
function field(file: string, name: string): number {
  const line = readFileSync(file, 'latin1')
    .split('\n')
    .find((text) => text.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

function joined(
  version: 1 | 2,
  directories: readonly string[],
): Pick<ControlGroup, 'version' | 'wrap' | 'remove'> {
  return {
    version,
    wrap: (command) => {
      const files = directories.map((directory) => join(directory, 'cgroup.procs')).join(' ');
      return [
        'sh',
        '-c',
        'for file in $0; do echo $$ > "$file" || exit 1; done; exec "$@"',
        files,
        ...command,
      ];
    },
    async remove() {
      for (let tries = 1; ; tries++) {
        try {
          for (const directory of directories) if (existsSync(directory)) rmdirSync(directory);
          return;
        } catch (error) {
          // A process that has just ended may still be counted.
          if (tries === REMOVE_TRIES) throw error;
          await sleep(REMOVE_AGAIN_MS);
        }
      }
    },
  };
}

function createVersion1(name: string, memoryBytes: number): ControlGroup {
  const memory = join(ROOT, 'memory', name);
  const cpu = join(ROOT, 'cpu', name);
  for (const directory of [memory, cpu]) mkdirSync(directory);
  writeFileSync(join(memory, 'memory.limit_in_bytes'), String(memoryBytes));
  writeFileSync(join(cpu, 'cpu.cfs_period_us'), String(PERIOD_US));
  return {
    ...joined(1, [memory, cpu]),
    limitCpu: (share) =>
      writeFileSync(join(cpu, 'cpu.cfs_quota_us'), share === null ? '-1' : `${quotaUs(share)}`),
    memory: () => ({
      anonymousBytes:
        field(join(memory, 'memory.stat'), 'total_rss') + field(join(memory, 'memory.stat'), 'total_shmem'),
      limitMet: Number(readFileSync(join(memory, 'memory.failcnt'), 'latin1')),
      killed: field(join(memory, 'memory.oom_control'), 'oom_kill'),
    }),
  };
}

function createVersion2(name: string, memoryBytes: number): ControlGroup {
  writeFileSync(join(ROOT, 'cgroup.subtree_control'), '+memory +cpu');
  const directory = join(ROOT, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'memory.max'), String(memoryBytes));
  return {
    ...joined(2, [directory]),
    limitCpu: (share) =>
      writeFileSync(join(directory, 'cpu.max'), `${share === null ? 'max' : quotaUs(share)} ${PERIOD_US}`),
    memory: () => ({
      anonymousBytes:
        field(join(directory, 'memory.stat'), 'anon') + field(join(directory, 'memory.stat'), 'shmem'),
      limitMet: field(join(directory, 'memory.events'), 'max'),
      killed: field(join(directory, 'memory.events'), 'oom_kill'),
    }),
  };
}

/** Null where this user may not make such groups. */
export function createControlGroup(name: string, memoryBytes: number): ControlGroup | null {
  try {
    return existsSync(join(ROOT, 'memory'))
      ? createVersion1(name, memoryBytes)
      : createVersion2(name, memoryBytes);
  } catch {
    return null;
  }
}
