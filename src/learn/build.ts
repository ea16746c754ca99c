/** Compiles the learner's tree, or another, with the project's own compiler and without complaints about unused names. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { makeDirectories } from '../base/directories.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { type LearnPhase, stepFolder } from './catalogue.ts';

export interface CompileError {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

const MODE = 0o755;
const RUNNER = 'src/learn/run-steps.ts';
const BENCH = 'src/learn/bench-child.ts';
/** Built by other tools than the compiler, beside its output. */
const OTHER_PRODUCTS = ['src/parser/simd/items.wasm', 'native'];

/** All TypeScript files of a folder, from the root. */
function sourcesIn(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
}

export interface Build {
  /** Tree to compile. */
  readonly root: string;
  /** Receives `src/` and `test/` with the compiled files. */
  readonly output: string;
  /** Files to compile, from the root, with everything that they import. */
  readonly files: readonly string[];
}

/** Declarations that no file imports. */
function declarationsIn(root: string): string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.d.ts'))
    .map((name) => join('src', name));
}

/** The files that a phase's steps and benchmark need. */
export function filesToBuild(root: string, phase: LearnPhase): string[] {
  return [RUNNER, BENCH, ...declarationsIn(root), ...phase.files, ...sourcesIn(root, stepFolder(phase))];
}

function compilerOf(root: string): string {
  try {
    const main = createRequire(join(root, 'package.json')).resolve('typescript/package.json');
    return join(dirname(main), 'bin/tsc');
  } catch {
    throw new MetricsStreamError('LEARN_UNAVAILABLE', 'the compiler is not installed: run npm run learn');
  }
}

const DIAGNOSTIC = /^(.+?)\((\d+),\d+\): error (TS\d+: .*)$/;

/** @returns the errors, in the compiler's order */
export function compile({ root, output, files }: Build, compilerRoot: string): CompileError[] {
  makeDirectories(output, MODE);
  const project = `${output}.tsconfig.json`;
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      rootDir: root,
      outDir: output,
      tsBuildInfoFile: `${output}.tsbuildinfo`,
      noUnusedLocals: false,
      noUnusedParameters: false,
    },
    include: [],
    files: files.map((file) => join(root, file)),
  };
  writeFileSync(project, JSON.stringify(config));
  const command = [compilerOf(compilerRoot), '-p', project, '--pretty', 'false'];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' });
  linkOtherProducts(compilerRoot, output);
  if (status === 0) return [];
  const errors = stdout.split('\n').flatMap((line) => {
    const [, file = '', lineNumber, text = ''] = DIAGNOSTIC.exec(line) ?? [];
    return lineNumber === undefined
      ? []
      : [{ file: relative(root, join(root, file)), line: Number(lineNumber), text }];
  });
  if (errors.length > 0) return errors;
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `the compiler failed: ${`${stdout}${stderr}`.trim().slice(0, 300)}`,
  );
}

function linkOtherProducts(compilerRoot: string, output: string): void {
  for (const product of OTHER_PRODUCTS) {
    const [target, link] = [join(compilerRoot, 'dist', product), join(output, product)];
    if (!existsSync(target) || existsSync(link)) continue;
    makeDirectories(join(link, '..'), MODE);
    symlinkSync(target, link);
  }
}
