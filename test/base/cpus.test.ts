import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { availableCpus } from '../../src/base/cpus.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const V2 = '31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
const V1 = '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct';
const V1_OTHER = '33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset';

/** The result for a tree of files, on a machine with 8 CPUs. */
function cpusIn(t: TestContext, files: Readonly<Record<string, string>>): number {
  const root = temporaryDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return availableCpus({ root, parallelism: 8 });
}

describe('available CPUs', () => {
  it('are the CPUs of the machine if there are no control groups', (t) => {
    assert.equal(cpusIn(t, {}), 8);
    assert.equal(
      cpusIn(t, { 'proc/self/cgroup': '', 'proc/self/mountinfo': 'no such line\n21 1 8:1 / / rw - ext4' }),
      8,
    );
  });

  it('follow a version 2 quota, rounded up to at least one', (t) => {
    for (const [max, expected] of [
      ['max 100000', 8],
      ['200000 100000', 2],
      ['250000 100000', 3],
      ['5000 100000', 1],
      ['9900000 100000', 8],
      ['nonsense', 8],
    ] as const) {
      const files = {
        'proc/self/mountinfo': V2,
        'proc/self/cgroup': '0::/a.slice',
        'sys/fs/cgroup/a.slice/cpu.max': max,
      };
      assert.equal(cpusIn(t, files), expected, max);
    }
  });

  it('follow the strictest group up to the mount point', (t) => {
    const files = {
      'proc/self/mountinfo': V2,
      'proc/self/cgroup': '0::/a.slice/b.slice/c.scope',
      'sys/fs/cgroup/cpu.max': 'max 100000',
      'sys/fs/cgroup/a.slice/cpu.max': '300000 100000',
      'sys/fs/cgroup/a.slice/b.slice/c.scope/cpu.max': '500000 100000',
    };
    assert.equal(cpusIn(t, files), 3);
  });

  it('follow a version 1 quota beside other controllers and an empty version 2', (t) => {
    const files = {
      'proc/self/mountinfo': [
        V1_OTHER,
        V1,
        '34 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
      ].join('\n'),
      'proc/self/cgroup': '5:cpuset:/elsewhere\n4:cpu,cpuacct:/jobs/one\n0::/jobs/one',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
      'sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us': '200000',
      'sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us': '50000',
      'sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_quota_us': '-1',
      'sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_period_us': '50000',
    };
    assert.equal(cpusIn(t, files), 4);
  });

  it('are found in a container, whose mount shows its own group as the root', (t) => {
    const quota = (path: string) => ({
      [`${path}/cpu.cfs_quota_us`]: '100000',
      [`${path}/cpu.cfs_period_us`]: '50000',
    });
    const mount = '32 31 0:29 /docker/f00 /cg/cpu ro - cgroup cgroup rw,cpu';
    const inside = (path: string) => ({ 'proc/self/mountinfo': mount, 'proc/self/cgroup': `4:cpu:${path}` });
    assert.equal(cpusIn(t, { ...inside('/docker/f00'), ...quota('cg/cpu') }), 2);
    assert.equal(cpusIn(t, { ...inside('/docker/f00/job'), ...quota('cg/cpu/job') }), 2);
    assert.equal(cpusIn(t, { ...inside('/../elsewhere'), ...quota('cg/cpu') }), 2);
    assert.equal(cpusIn(t, { ...inside('/docker/f00d'), ...quota('cg/cpu'), ...quota('cg/cpud') }), 2);
  });

  it('are found under a mount point with a blank in its path', (t) => {
    const files = {
      'proc/self/mountinfo': String.raw`31 24 0:27 / /control\040groups rw - cgroup2 cgroup2 rw`,
      'proc/self/cgroup': '0::/',
      'control groups/cpu.max': '100000 100000',
    };
    assert.equal(cpusIn(t, files), 1);
  });
});

/** A real control group with a quota of one CPU, or the reason for a skip. */
function realGroup(): { readonly directory: string } | string {
  if (availableParallelism() < 2) return 'this machine has one CPU: a limit of one would not show';
  const v1 = '/sys/fs/cgroup/cpu';
  const isV1 = existsSync(join(v1, 'cpu.cfs_quota_us'));
  const directory = join(isV1 ? v1 : '/sys/fs/cgroup', `metricsstream-test-${process.pid}`);
  try {
    mkdirSync(directory);
  } catch (error) {
    return `no control group can be made here: ${(error as Error).message}`;
  }
  try {
    writeFileSync(join(directory, isV1 ? 'cpu.cfs_quota_us' : 'cpu.max'), '100000');
    return { directory };
  } catch (error) {
    rmdirSync(directory);
    return `a control group cannot be limited here: ${(error as Error).message}`;
  }
}

describe('--workers auto', () => {
  const group = realGroup();

  it('equals the CPUs that a real control group grants, and config shows that', {
    skip: typeof group === 'string' && group,
  }, (t) => {
    const { directory } = group as { directory: string };
    t.after(() => rmdirSync(directory));
    const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
    const { stdout, stderr, status } = spawnSync(
      'sh',
      ['-c', 'echo $$ > "$1/cgroup.procs" && exec "$2" "$3" config', 'sh', directory, process.execPath, main],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^--workers +auto \(1\) +default/m);
    assert.equal(readFileSync(join(directory, 'cgroup.procs'), 'utf8'), '');
  });

  it('is shown as a number if it was given as one', () => {
    const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
    const { stdout } = spawnSync(process.execPath, [main, 'config', '--workers', '3'], { encoding: 'utf8' });
    assert.match(stdout, /^--workers +3 +flag/m);
  });
});
