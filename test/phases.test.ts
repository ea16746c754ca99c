/** The phase table: its rows, and that threads load the implementations of their row and no others. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PHASE_NUMBERS } from '../src/config/options.ts';
import { PHASES, type Slots, slotsOf } from '../src/phases.ts';
import { runCli } from './support/server-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LAST_PHASE = PHASES.at(-1)!.number;
const slotNames = Object.keys(PHASES[0]!.slots) as (keyof Slots)[];

/** An implementation is a file of its component's folder, or a folder there with a file of its name. */
function fileOf(slot: keyof Slots, name: string): string {
  const file = `src/${slot}/${name}.ts`;
  return existsSync(join(ROOT, file)) ? file : `src/${slot}/${name}/${name}.ts`;
}

const implementations = slotNames.flatMap((slot) =>
  [...new Set(PHASES.map(({ slots }) => slots[slot]))].map((name) => ({ slot, path: fileOf(slot, name) })),
);

function changedSlots(before: Slots, after: Slots): (keyof Slots)[] {
  return slotNames.filter((slot) => before[slot] !== after[slot]);
}

/** Threads check no options. In phases 1 to 5 each request would pay for loading this. */
const SCHEMA_OF_OPTIONS = 'src/config/options.ts';

const STATIC_IMPORT = /^\s*(?:import|export)\s+(?!type\s)[^'"]*?from\s+['"](\.[^'"]+)['"]/gm;

/** Files that are loaded with `entry`, dynamic imports apart. */
function loadedWith(entry: string): Set<string> {
  const loaded = new Set<string>();
  const visit = (path: string): void => {
    if (loaded.has(path) || !path.endsWith('.ts')) return;
    loaded.add(path);
    for (const match of readFileSync(join(ROOT, path), 'utf8').matchAll(STATIC_IMPORT)) {
      visit(normalize(join(dirname(path), match[1] ?? '')));
    }
  };
  visit(entry);
  return loaded;
}

describe('the phase table', () => {
  it('has the rows that --phase accepts, in order', () => {
    const numbers = PHASES.map(({ number }) => number);
    assert.deepEqual(numbers, PHASE_NUMBERS);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
  });

  for (const [index, phase] of PHASES.slice(1).entries()) {
    it(`replaces exactly one slot in phase ${phase.number}, ${phase.name}`, () => {
      assert.equal(changedSlots(PHASES[index]!.slots, phase.slots).length, 1);
    });
  }

  it('names files that exist', () => {
    for (const { path } of implementations) assert.ok(existsSync(join(ROOT, path)), path);
  });

  it('is printed by the phases command, as a table and as JSON', async () => {
    const table = await runCli(['phases']);
    assert.equal(table.code, 0);
    for (const { name } of PHASES) assert.ok(table.stdout.includes(name), name);
    const { stdout } = await runCli(['phases', '--json']);
    assert.deepEqual(JSON.parse(stdout), PHASES);
  });
});

describe('a slot reverted', () => {
  for (const slot of slotNames) {
    it(`is the ${slot} of the row before its last change, and no other slot differs`, () => {
      const last = slotsOf({ phase: LAST_PHASE, revert: 'none' });
      const back = slotsOf({ phase: LAST_PHASE, revert: slot });
      assert.deepEqual(changedSlots(last, back), [slot]);
      const earlier = PHASES.findLast(({ slots }) => slots[slot] !== last[slot]);
      assert.equal(back[slot], earlier?.slots[slot]);
    });
  }

  it('changes nothing in the baseline, which has no row before it', () => {
    for (const slot of slotNames) assert.deepEqual(slotsOf({ phase: 0, revert: slot }), PHASES[0]!.slots);
  });
});

describe('code loaded', () => {
  it('is followed to files that are imported', () => assert.ok(loadedWith('src/server.ts').size > 50));

  const entries = [
    'server',
    'threads/ingest-worker',
    'threads/ingest-thread',
    'threads/request-worker',
    'threads/writer-worker',
  ];
  for (const entry of entries) {
    it(`with ${entry} includes no implementation of a slot before the row names one`, () => {
      const loaded = loadedWith(`src/${entry}.ts`);
      assert.deepEqual(
        implementations.filter(({ path }) => loaded.has(path)),
        [],
      );
    });
  }

  for (const entry of entries.filter((name) => name.startsWith('threads/'))) {
    it(`with ${entry} does not include the schema of the options`, () => {
      assert.ok(!loadedWith(`src/${entry}.ts`).has(SCHEMA_OF_OPTIONS));
    });
  }

  for (const { slot, path } of implementations) {
    it(`with ${path} includes no other implementation of its slot`, () => {
      const loaded = loadedWith(path);
      const siblings = implementations.filter((other) => other.slot === slot && other.path !== path);
      assert.deepEqual(
        siblings.filter((sibling) => loaded.has(sibling.path)),
        [],
      );
    });
  }
});
