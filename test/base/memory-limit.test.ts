import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { memoryLimit } from '../../src/base/memory-limit.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const V2 = '31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
const V1 = '32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory';
const MACHINE_BYTES = 8 * 2 ** 30;
const NO_LIMIT_V1 = '9223372036854771712';

function limitIn(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = temporaryDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return memoryLimit({ root, machineBytes: MACHINE_BYTES });
}

describe('the memory limit', () => {
  it('is the memory of the machine if no control group sets one', (t) => {
    const machine = { bytes: MACHINE_BYTES, source: 'machine' };
    assert.deepEqual(limitIn(t, {}), machine);
    const version1 = {
      'proc/self/cgroup': '4:memory:/a',
      'proc/self/mountinfo': V1,
      'sys/fs/cgroup/memory/a/memory.limit_in_bytes': NO_LIMIT_V1,
    };
    assert.deepEqual(limitIn(t, version1), machine);
    const version2 = {
      'proc/self/cgroup': '0::/a',
      'proc/self/mountinfo': V2,
      'sys/fs/cgroup/a/memory.max': 'max',
    };
    assert.deepEqual(limitIn(t, version2), machine);
  });

  it('is the strictest one on the way up in version 2, memory.high included', (t) => {
    const files = {
      'proc/self/cgroup': '0::/pod/app',
      'proc/self/mountinfo': V2,
      'sys/fs/cgroup/pod/app/memory.max': 'max',
      'sys/fs/cgroup/pod/app/memory.high': '700000000',
      'sys/fs/cgroup/pod/memory.max': '536870912',
    };
    assert.deepEqual(limitIn(t, files), { bytes: 536_870_912, source: 'control group' });
    const high = { ...files, 'sys/fs/cgroup/pod/app/memory.high': '400000000' };
    assert.equal(limitIn(t, high).bytes, 400_000_000);
  });

  it('includes, in version 1, groups above the part that a container sees', (t) => {
    const files = {
      'proc/self/cgroup': '4:memory:/docker/1234\n0::/',
      'proc/self/mountinfo': '32 31 0:29 /docker/1234 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': NO_LIMIT_V1,
      'sys/fs/cgroup/memory/memory.stat': 'cache 1\nhierarchical_memory_limit 268435456\nrss 2',
    };
    assert.deepEqual(limitIn(t, files), { bytes: 268_435_456, source: 'control group' });
  });
});
