/** A control group that limits memory, for the life of a test. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';

interface Layout {
  /** Directory of this process's own group. */
  readonly directory: string;
  readonly limitFile: string;
  readonly peakFile: string;
}

function layout(): Layout {
  const cgroup = readFileSync('/proc/self/cgroup', 'utf8');
  const version1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(cgroup)?.[1];
  if (version1 !== undefined) {
    const directory = join('/sys/fs/cgroup/memory', version1);
    return { directory, limitFile: 'memory.limit_in_bytes', peakFile: 'memory.max_usage_in_bytes' };
  }
  const [, version2 = '/'] = /^0::(.*)$/m.exec(cgroup) ?? [];
  return { directory: join('/sys/fs/cgroup', version2), limitFile: 'memory.max', peakFile: 'memory.peak' };
}

export class MemoryGroup {
  readonly directory: string;
  private readonly peakFile: string;

  private constructor(directory: string, peakFile: string) {
    this.directory = directory;
    this.peakFile = peakFile;
  }

  /** @throws when control groups cannot be made or limited here */
  static create(bytes: number): MemoryGroup {
    const { directory: parent, limitFile, peakFile } = layout();
    const directory = join(parent, `metricsstream-test-${process.pid}-${Date.now()}`);
    mkdirSync(directory);
    try {
      writeFileSync(join(directory, limitFile), String(bytes));
    } catch (error) {
      rmdirSync(directory);
      throw error;
    }
    return new MemoryGroup(directory, join(directory, peakFile));
  }

  /** Why there are no such groups here, or false. */
  static refusal(): string | false {
    try {
      rmdirSync(MemoryGroup.create(1 << 30).directory);
      return false;
    } catch (error) {
      return `a control group cannot limit memory here: ${(error as Error).message}`;
    }
  }

  /** A command that runs its arguments in the group. */
  get wrapper(): string[] {
    return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.directory];
  }

  /** Most bytes in use at once, page cache included. */
  get peakBytes(): number {
    return Number(readFileSync(this.peakFile, 'utf8'));
  }

  /** Removes the group at the end. Call it before the group's processes start: they end first. */
  removeAfter(owner: Owner): void {
    onEnd(owner, () => eventually('the group is empty', () => this.tryToRemove()));
  }

  /** The kernel keeps a group for a moment after its last process has ended. */
  private tryToRemove(): boolean {
    try {
      rmdirSync(this.directory);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
      throw error;
    }
  }
}
