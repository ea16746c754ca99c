/**
 * The strictest limit that control groups set for this process. A limit applies to everything below it, so the search
 * walks from the group of the process up to the mount point. Versions 1 and 2 may be mounted side by side.
 *
 * https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Reads a file of a group's directory by name; null if it cannot be read. */
type ReadGroupFile = (name: string) => string | null;

/** How to read one limit; Infinity where a group sets none. */
export interface LimitReader {
  readonly controller: 'cpu' | 'memory';
  version1(read: ReadGroupFile): number;
  version2(read: ReadGroupFile): number;
}

/** @param root of the file system to read; '/' except in tests */
export function strictestLimit(root: string, reader: LimitReader): number {
  const read = (path: string) => readText(join(root, path));
  const paths = controlGroupPaths(read('/proc/self/cgroup') ?? '', reader.controller);
  let strictest = Number.POSITIVE_INFINITY;
  for (const mount of mountsOf(read('/proc/self/mountinfo') ?? '', reader.controller)) {
    const path = paths[mount.version];
    if (path === undefined) continue;
    for (const directory of upwards(mount, path)) {
      strictest = Math.min(
        strictest,
        reader[mount.version]((name) => read(join(directory, name))),
      );
    }
  }
  return strictest;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

type Version = 'version1' | 'version2';

interface Mount {
  readonly version: Version;
  readonly mountPoint: string;
  /** The group that is mounted there; not the root group in containers. */
  readonly root: string;
}

/** Mounts of control groups that can set the limit; see proc_pid_mountinfo(5). */
function mountsOf(mountinfo: string, controller: string): Mount[] {
  return mountinfo.split('\n').flatMap((line): Mount[] => {
    const [mounted = '', fileSystem = ''] = line.split(' - ');
    const [, , , root = '/', mountPoint = ''] = mounted.split(' ').map(unescapeOctal);
    const [type, , options = ''] = fileSystem.split(' ');
    if (type === 'cgroup2') return [{ version: 'version2', mountPoint, root }];
    const isController = type === 'cgroup' && options.split(',').includes(controller);
    return isController ? [{ version: 'version1', mountPoint, root }] : [];
  });
}

/** Blanks in paths are written as \040. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The process's group in each version's tree; lines are `number:controllers:path`, see cgroups(7). */
function controlGroupPaths(cgroup: string, controller: string): Record<Version, string | undefined> {
  const lines = cgroup.split('\n').map((line) => /^(\d+):([^:]*):(.*)$/.exec(line));
  const pathWhere = (wanted: (number: string, controllers: string[]) => boolean): string | undefined =>
    lines.find((match) => match !== null && wanted(match[1]!, match[2]!.split(',')))?.[3];
  return {
    version1: pathWhere((_, controllers) => controllers.includes(controller)),
    version2: pathWhere((number, controllers) => number === '0' && controllers[0] === ''),
  };
}

/** The directory of group `path`, and all directories above it up to the mount point. */
function upwards({ mountPoint, root }: Mount, path: string): string[] {
  const below = root === '/' || path === root || path.startsWith(`${root}/`);
  // A group outside the mounted part is not visible, but the mounted group still limits this process.
  const relative = below && !path.startsWith('/..') ? path.slice(root === '/' ? 0 : root.length) : '';
  const directories = [mountPoint];
  for (let directory = join(mountPoint, relative); directory.length > mountPoint.length; ) {
    directories.push(directory.replace(/\/$/, ''));
    directory = dirname(directory);
  }
  return directories;
}
