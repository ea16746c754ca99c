/** A control group that limits processes and threads, for the life of a test. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';

/** Directory of this process's own group. */
function ownGroup(): string {
  const cgroup = readFileSync('/proc/self/cgroup', 'utf8');
  const version1 = /^\d+:(?:[^:]*,)?pids(?:,[^:]*)?:(.*)$/m.exec(cgroup)?.[1];
  if (version1 !== undefined) return join('/sys/fs/cgroup/pids', version1);
  const [, version2 = '/'] = /^0::(.*)$/m.exec(cgroup) ?? [];
  return join('/sys/fs/cgroup', version2);
}

/** A command that runs its arguments in a group of at most `most` threads; null if groups cannot be made here. */
export function limitedProcesses(owner: Owner, most: number): readonly string[] | null {
  const directory = join(ownGroup(), `metricsstream-test-${process.pid}-${most}`);
  try {
    mkdirSync(directory);
  } catch {
    return null;
  }
  onEnd(owner, () =>
    eventually('the group is empty', () => {
      try {
        rmdirSync(directory);
        return true;
      } catch {
        return false;
      }
    }),
  );
  try {
    writeFileSync(join(directory, 'pids.max'), String(most));
  } catch {
    return null;
  }
  return ['sh', '-c', `echo $$ > ${directory}/cgroup.procs; exec "$0" "$@"`];
}
