/** Each phase's benchmark measures both sides, which check their own answers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { measure } from '../../src/learn/bench.ts';
import type { BenchModule } from '../../src/learn/bench-module.ts';
import { LEARN_PHASES, stepFolder } from '../../src/learn/catalogue.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { memoryDirectory } from '../support/server-process.ts';

const BUILD = join(ROOT, 'dist');
const MEASURE_MS = 5;

/** Loaded before the suites, because node:test names its tests first. */
const phases = await Promise.all(
  LEARN_PHASES.map(async (phase) => {
    const module = join(BUILD, stepFolder(phase), 'bench.js');
    assert.ok(existsSync(module), `phase ${phase.number} has a benchmark`);
    return { phase, module, bench: ((await import(pathToFileURL(module).href)) as BenchModule).bench };
  }),
);

/** The build, with a place for data in memory: a disk that stalls is answered with 503. */
function rootInMemory(): string {
  const root = memoryDirectory({ after });
  symlinkSync(BUILD, join(root, 'dist'));
  return root;
}

const root = rootInMemory();

for (const { phase, module, bench } of phases) {
  describe(`the benchmark of phase ${phase.number}`, () => {
    const sides = bench.columns === undefined ? ['before', 'after'] : ['before', 'after', 'reference'];
    for (const { name } of bench.rows) {
      for (const side of sides) {
        it(`measures ${name}, ${side}`, () => {
          const child = join(BUILD, 'src/learn/bench-child.js');
          const { status, stdout, stderr } = spawnSync(
            process.execPath,
            [child, module, name, side, String(MEASURE_MS), root],
            { encoding: 'utf8' },
          );
          assert.equal(status, 0, stderr);
          assert.ok(Number(stdout) >= 0, stdout);
        });
      }
    }
  });
}

describe('a benchmark that fails', () => {
  it('names the reason, also of one that prints too much', async () => {
    await assert.rejects(
      measure(['-e', 'throw new RangeError("no such slot")', 'a row']),
      /the benchmark of "a row" failed: .*RangeError: no such slot/,
    );
    await assert.rejects(
      measure(['-e', 'console.log("x".repeat(2 << 20))', 'a row']),
      /the benchmark of "a row" failed: it prints too much/,
    );
  });
});
