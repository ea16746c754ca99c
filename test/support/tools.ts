/** Debian tools that some tests need. A missing one skips the test with the reason, or fails it when all are required. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Debian keeps some programs outside the PATH of ordinary users. */
export const PATH_WITH_SYSTEM = [process.env.PATH ?? '', '/usr/sbin'].join(delimiter);

/** Whether the program is on the PATH, or among the system's. */
export function hasProgram(program: string): boolean {
  const directories = PATH_WITH_SYSTEM.split(delimiter);
  return directories.some((directory) => isExecutable(join(directory, program)));
}

/**
 * For node:test's `skip` option: false when the program is on the PATH, else why the test is skipped.
 * With METRICSSTREAM_REQUIRE_TOOLS=1 a missing program throws instead, so that nobody overlooks a skip.
 * @param debianPackage if its name differs from the program's
 */
export function requireTool(program: string, debianPackage: string = program): string | false {
  if (hasProgram(program)) return false;
  const reason = `${program} is not installed (Debian package ${debianPackage})`;
  if (process.env.METRICSSTREAM_REQUIRE_TOOLS === '1') throw new Error(reason);
  return reason;
}
