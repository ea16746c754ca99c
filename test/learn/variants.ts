/**
 * Every state and every mutant of a phase, compiled by one run of the compiler: each becomes a sibling of the real file, and
 * its output replaces the real one in a tree of its own while its tests run.
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { compile, filesToBuild } from '../../src/learn/build.ts';
import { type LearnPhase, type Step, stepsOf } from '../../src/learn/catalogue.ts';
import { type Examination, examine } from '../../src/learn/examine.ts';
import { render } from '../../src/learn/markers.ts';
import type { Mutant, StepModule } from '../../src/learn/step-module.ts';
import { ROOT } from '../../src/learn/workspace.ts';

/** Files of a phase in one of their forms. */
export interface Variant {
  readonly name: string;
  readonly texts: ReadonlyMap<string, string>;
}

const sourceOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** The phase with the steps before index `solved` solved. */
export function stateVariant(phase: LearnPhase, steps: readonly Step[], solved: number): Variant {
  const open = new Set(steps.slice(solved).map(({ id }) => id));
  const texts = phase.files.map(
    (file) => [file, render(sourceOf(file), (step) => !open.has(step), file)] as const,
  );
  return { name: `state${solved}`, texts: new Map(texts) };
}

/** The solved phase with one mistake. @throws if its text is not in the file exactly once */
export function mutantVariant(phase: LearnPhase, mutant: Mutant, name: string): Variant {
  const file = mutant.file ?? phase.files[0]!;
  const texts = new Map(phase.files.map((path) => [path, sourceOf(path)]));
  const parts = texts.get(file)?.split(mutant.find) ?? [];
  if (parts.length !== 2) {
    throw new RangeError(`${file} has "${mutant.find}" ${parts.length - 1} times; the mutant needs it once`);
  }
  return { name, texts: texts.set(file, parts.join(mutant.replace)) };
}

export async function mutantsOf(step: Step): Promise<readonly Mutant[]> {
  const module = (await import(join(ROOT, 'dist', `${step.path}.js`))) as StepModule;
  return module.mutants;
}

const siblingOf = (file: string, name: string): string => file.replace(/\.ts$/, `.${name}.ts`);

export class VariantTree {
  private readonly phase: LearnPhase;
  private readonly steps: readonly Step[];
  private readonly directory: string;

  constructor(phase: LearnPhase, directory: string) {
    this.phase = phase;
    this.steps = stepsOf(ROOT, phase);
    this.directory = directory;
  }

  private get tree(): string {
    return join(this.directory, 'tree');
  }

  private get output(): string {
    return join(this.directory, 'build');
  }

  /** @returns the compiler's complaints */
  compile(variants: readonly Variant[]): string[] {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.tree, { recursive: true });
    for (const name of ['src', 'test', 'load-test', 'bench'])
      cpSync(join(ROOT, name), join(this.tree, name), { recursive: true });
    for (const name of ['package.json', 'tsconfig.json'])
      copyFileSync(join(ROOT, name), join(this.tree, name));
    const files = variants.flatMap((variant) => this.writeSiblings(variant));
    const errors = compile(
      { root: this.tree, output: this.output, files: [...filesToBuild(ROOT, this.phase), ...files] },
      ROOT,
    );
    return errors.map(({ file, line, text }) => `${file}:${line}: ${text}`);
  }

  /** Files of one phase import each other; those of a variant import their own kind. */
  private writeSiblings({ name, texts }: Variant): string[] {
    return [...texts].map(([file, text]) => {
      let own = text;
      for (const other of texts.keys()) {
        own = own.replaceAll(`/${basename(other)}'`, `/${basename(siblingOf(other, name))}'`);
      }
      const sibling = siblingOf(file, name);
      writeFileSync(join(this.tree, sibling), own);
      return sibling;
    });
  }

  /** Puts a variant in place of the real files, and runs the steps over it. */
  examine(variant: Variant, steps: readonly Step[] = this.steps): Promise<Examination> {
    for (const file of variant.texts.keys()) {
      const compiled = (path: string): string => join(this.output, path.replace(/\.ts$/, '.js'));
      const code = readFileSync(compiled(siblingOf(file, variant.name)), 'utf8');
      const own = code.replaceAll(`.${variant.name}.js'`, `.js'`).replace(/\/\/# sourceMappingURL=.*/, '');
      mkdirSync(dirname(compiled(file)), { recursive: true });
      writeFileSync(compiled(file), own);
    }
    return examine({ root: ROOT, output: this.output, steps, guesses: {}, limitMs: 60_000 });
  }
}
