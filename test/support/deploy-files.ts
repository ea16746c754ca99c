/** The files in `deploy/`, and the programs that check them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the project. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export const deployPath = (...parts: readonly string[]): string => join(ROOT, 'deploy', ...parts);
export const readDeployed = (...parts: readonly string[]): string =>
  readFileSync(deployPath(...parts), 'utf8');

/** Runs a program to its end. Unless it exits 0, fails with its output. */
export function runTool(program: string, args: readonly string[], cwd = ROOT): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    timeout: 180_000,
    killSignal: 'SIGKILL',
  });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${error ?? ''}\n${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}
