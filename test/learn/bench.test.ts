/** Each phase's benchmark measures both sides, which check their own answers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { BenchModule } from '../../src/learn/bench-module.ts';
import { hasBench, LEARN_PHASES, stepFolder } from '../../src/learn/catalogue.ts';
import { ROOT } from '../../src/learn/workspace.ts';

const BUILD = join(ROOT, 'dist');
const MEASURE_MS = 5;

/** Loaded before the suites, because node:test names its tests first. */
const phases = await Promise.all(
  LEARN_PHASES.filter(({ files }) => files.length > 0).map(async (phase) => {
    assert.ok(hasBench(ROOT, phase), `phase ${phase.number} has a benchmark`);
    const module = join(BUILD, stepFolder(phase), 'bench.js');
    return { phase, module, bench: ((await import(pathToFileURL(module).href)) as BenchModule).bench };
  }),
);

for (const { phase, module, bench } of phases) {
  describe(`the benchmark of phase ${phase.number}`, () => {
    for (const { name } of bench.rows) {
      for (const side of ['before', 'after']) {
        it(`measures ${name}, ${side}`, () => {
          const child = join(BUILD, 'src/learn/bench-child.js');
          const { status, stdout, stderr } = spawnSync(
            process.execPath,
            [child, module, name, side, String(MEASURE_MS)],
            { encoding: 'utf8' },
          );
          assert.equal(status, 0, stderr);
          assert.ok(Number(stdout) >= 0, stdout);
        });
      }
    }
  });
}
