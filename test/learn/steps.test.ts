/**
 * The proof that the steps can be learned: each state compiles, passes the earlier steps and fails the next by its own
 * assertion; the solution passes all; every mutant is refused where it says.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { LEARN_PHASES, type LearnPhase, type Step, stepsOf } from '../../src/learn/catalogue.ts';
import type { Mutant } from '../../src/learn/step-module.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { mutantsOf, mutantVariant, stateVariant, type Variant, VariantTree } from './variants.ts';

interface NamedMutant {
  readonly step: Step;
  readonly mutant: Mutant;
  readonly variant: Variant;
}

async function mutantsOfPhase(phase: LearnPhase, steps: readonly Step[]): Promise<NamedMutant[]> {
  const all: NamedMutant[] = [];
  for (const step of steps) {
    for (const mutant of await mutantsOf(step)) {
      all.push({ step, mutant, variant: mutantVariant(phase, mutant, `mutant${all.length}`) });
    }
  }
  return all;
}

/** Loaded before the suites, because node:test names its tests first. */
const phases = await Promise.all(
  LEARN_PHASES.filter(({ files }) => files.length > 0).map(async (phase) => {
    const steps = stepsOf(ROOT, phase);
    return { phase, steps, mutants: await mutantsOfPhase(phase, steps) };
  }),
);

for (const { phase, steps, mutants } of phases) {
  describe(`phase ${phase.number}`, () => {
    const directory = join(ROOT, '.artifacts/learn-states', `phase-${phase.number}-${process.pid}`);
    const tree = new VariantTree(phase, directory);
    const states = Array.from({ length: steps.length + 1 }, (_, solved) =>
      stateVariant(phase, steps, solved),
    );
    after(() => rmSync(directory, { recursive: true, force: true }));

    it('compiles in every state', () => {
      assert.deepEqual(tree.compile([...states, ...mutants.map(({ variant }) => variant)]), []);
    });

    states.forEach((state, solved) => {
      const next = steps[solved];
      it(
        next === undefined
          ? 'solved passes every step'
          : `before ${next.id} fails ${next.id} by its assertion`,
        async () => {
          const { passed, failed } = await tree.examine(state);
          assert.deepEqual(
            passed.map(({ id }) => id),
            steps.slice(0, solved).map(({ id }) => id),
            JSON.stringify(failed?.finding),
          );
          assert.equal(failed?.step.id, next?.id);
          if (failed === null) return;
          assert.equal(failed.kind, 'assertion', JSON.stringify(failed?.finding));
          const { did, expected, got } = failed.finding;
          for (const sentence of [did, expected, got]) assert.notEqual(sentence, '');
          assert.match(did, /[.?]$/);
        },
      );
    });

    for (const { step, mutant, variant } of mutants) {
      const refusedBy = mutant.refusedBy ?? step.id;
      it(`${refusedBy} refuses: ${mutant.mistake}`, async () => {
        const { failed } = await tree.examine(variant);
        assert.equal(failed?.step.id, refusedBy, JSON.stringify(failed?.finding));
      });
    }
  });
}
