/** Commands on DuckDB keep to the memory of their control group, and say so in one line where they cannot. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MIB } from '../../src/base/units.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { MemoryGroup } from '../support/memory-group.ts';
import { runCli } from '../support/server-process.ts';

const COMMITS = 32;
const LINES = 800;
const TAGS = 60;
const NOON = Date.parse('2026-11-28T12:00:00Z');

/** Lines of 3 KiB, each a series of its own: 80 MB of distinct tags. */
const texts = Array.from({ length: COMMITS }, (_, commit) =>
  Array.from({ length: LINES }, (__, k) => {
    const tags = Array.from({ length: TAGS }, (___, tag) => [
      `tag_${tag}`,
      `${commit}-${k}-${tag}`.padEnd(36, 'x'),
    ]);
    return lineOf({ timestamp: NOON + k, name: `m${k % 50}`, value: k, tags: Object.fromEntries(tags) });
  }).join(''),
);

describe('in a control group', { skip: MemoryGroup.refusal() }, () => {
  const owner = suiteOwner();
  const rig = new ArchiveRig(owner);

  const run = (t: TestContext, mebibytes: number, args: readonly string[]) => {
    const group = MemoryGroup.create(mebibytes * MIB);
    group.removeAfter(t);
    return runCli([...args, '--data-dir', rig.dataDir], { wrapper: group.wrapper });
  };

  it('of 400 MiB archive keeps within it, however many tags a metric has', async (t) => {
    await rig.store(texts);
    const { code, stderr } = await run(t, 400, ['archive', '--once', '--priority', 'normal']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(rig.manifest().archivedLines, COMMITS * LINES);
  });

  it('of 256 MiB archive says what it needs', async (t) => {
    const { code, stderr } = await run(t, 256, ['archive', '--once']);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^metricsstream: archive needs 320 MiB of memory and may use 256 MiB \(control group\)[^\n]+\n$/,
    );
  });

  it('of 256 MiB a query that outgrows it says so', async (t) => {
    // One value of 2 GB, which the bounds of DuckDB do not cover.
    const { stderr } = await run(t, 256, ['query', "SELECT length(repeat('x', 2000000000))"]);
    assert.match(stderr, /^metricsstream: the query needs more memory than [^\n]+\n$/);
  });
});
