/**
 * A lock on a directory that the kernel releases when its holder dies, and that holds across namespaces.
 *
 * flock(2) locks belong to an open file description. Node has no flock call, so a short run of flock(1) locks a
 * descriptor that it inherits from this process; the lock then stays for as long as this process has the descriptor
 * open. Two files are locked:
 *
 * - *The directory itself*. The lock follows the inode, so nobody can delete it or reach the directory around it: not by
 *   another path, mount, network or PID namespace of this machine.
 * - *The file OWNER in it*, because the lock of a directory on NFS does not leave its machine while that of a file does
 *   (Linux sends it to the server as a lock of the whole file).
 *
 * Node opens descriptors with O_CLOEXEC, so no other child inherits the lock.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { sameFile } from './directory-identity.ts';
import { codeOf } from './file-ops.ts';

export const OWNER_FILE = 'OWNER';
/** flock(1) of util-linux and of BusyBox: somebody else has the lock. */
const CONFLICT_STATUS = 1;
const INHERITED_FD = 3;
/** For a network file system that does not answer; starting flock(1) on a busy machine takes seconds, too. */
const FLOCK_TIMEOUT_MS = 15_000;
/** Another process may replace the file between opening and locking it. */
const ATTEMPTS = 3;

/** `unavailable`: this system or file system has no such lock, for the reason given. */
export type FlockResult =
  | { readonly kind: 'locked'; readonly fd: number }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Locks the directory at `path`. */
export function lockDirectory(path: string): FlockResult {
  return lockDescriptor(fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY));
}

/** Locks the file OWNER in the directory at `path`; creates it if it is missing. Throws the file system's error. */
export function lockOwnerFile(path: string): FlockResult {
  const file = join(path, OWNER_FILE);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const result = lockDescriptor(fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640));
    if (result.kind !== 'locked' || isNamed(result.fd, file)) return result;
    fs.closeSync(result.fd);
  }
  return { kind: 'unavailable', reason: `${file} is being replaced by other processes` };
}

/** True when `path` still leads to the open file. */
export function isNamed(fd: number, path: string): boolean {
  try {
    return sameFile(fs.fstatSync(fd), fs.statSync(path));
  } catch {
    return false;
  }
}

function lockDescriptor(fd: number): FlockResult {
  const args = ['-x', '-n', String(INHERITED_FD)];
  const { status, error, stderr } = spawnSync('flock', args, {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    timeout: FLOCK_TIMEOUT_MS,
    encoding: 'utf8',
  });
  if (status === 0) return { kind: 'locked', fd };
  fs.closeSync(fd);
  if (status === CONFLICT_STATUS) return { kind: 'conflict' };
  if (codeOf(error) === 'ENOENT')
    return { kind: 'unavailable', reason: 'flock(1) of util-linux is not installed' };
  return { kind: 'unavailable', reason: stderr.trim() || `flock(1) failed: ${codeOf(error)}` };
}
