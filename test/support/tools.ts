/** Debian tools that some tests need: absent ones skip a test with the reason, or fail it where all must be there. */
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

/**
 * For node:test's `skip` option: false when the program is on the PATH, else why the test is skipped.
 * With METRICSSTREAM_REQUIRE_TOOLS=1 a missing program throws instead, so that no skip passes unseen.
 * @param debianPackage where it differs from the program's name
 */
export function requireTool(program: string, debianPackage: string = program): string | false {
  const directories = (process.env.PATH ?? '').split(delimiter);
  if (directories.some((directory) => isExecutable(join(directory, program)))) return false;
  const reason = `${program} is not installed (Debian package ${debianPackage})`;
  if (process.env.METRICSSTREAM_REQUIRE_TOOLS === '1') throw new Error(reason);
  return reason;
}
