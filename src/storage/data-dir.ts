/**
 * One process owns a data directory.
 *
 * Node has no flock, so the lock is a socket (process-lock.ts) named after the directory's device and inode: two
 * paths to one directory give one name. Whoever connects is told who the owner is; the file OWNER tells the same to
 * people. Containers that share a volume but not a network namespace do not see each other's locks.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { lockAddress, takeLock } from '../base/process-lock.ts';
import { codeOf, nodeFileOps } from './file-ops.ts';
import { listSegments } from './segment-name.ts';

const OWNER_FILE = 'OWNER';
const ANSWER_MS = 1_000;

export interface DataDirLock {
  release(): Promise<void>;
}

export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly startedAt: string;
}

/**
 * Makes the directory where it is missing and takes its lock.
 * @throws MetricsStreamError DATA_DIR_UNUSABLE, or DATA_DIR_OWNED naming the owner
 */
export async function acquireDataDir(path: string): Promise<DataDirLock> {
  makeUsable(path);
  const owner: Owner = { pid: process.pid, host: os.hostname(), startedAt: new Date().toISOString() };
  const text = `${JSON.stringify(owner)}\n`;
  let releaseLock: () => Promise<void>;
  try {
    releaseLock = await takeLock(lockNameOf(path), text);
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw await ownedError(path);
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot lock the data directory ${path}: ${codeOf(error)}`,
      {
        cause: error,
      },
    );
  }
  const ownerFile = join(path, OWNER_FILE);
  writeOwnerFile(ownerFile, text);
  return {
    release: () => {
      fs.rmSync(ownerFile, { force: true });
      return releaseLock();
    },
  };
}

/**
 * Sequences of the segments in a directory, ascending.
 * @throws MetricsStreamError DATA_DIR_UNUSABLE when the directory cannot be read
 */
export function segmentsOf(dataDir: string): number[] {
  try {
    return listSegments(nodeFileOps, dataDir);
  } catch (error) {
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot read the data directory ${dataDir}: ${codeOf(error)}. Give --data-dir the directory of a server.`,
      { cause: error },
    );
  }
}

function makeUsable(path: string): void {
  try {
    fs.mkdirSync(path, { recursive: true, mode: 0o750 });
    fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot use ${path} as the data directory: ${codeOf(error)}. Give --data-dir a directory that this user may write.`,
      { cause: error },
    );
  }
}

function lockNameOf(path: string): string {
  const { dev, ino } = fs.statSync(path, { bigint: true });
  return `${dev}-${ino}`;
}

function writeOwnerFile(path: string, text: string): void {
  try {
    fs.writeFileSync(path, text, { mode: 0o640 });
  } catch {
    // The socket is the lock. A full disk must not keep the server from starting: it answers 503 until there is room.
  }
}

async function ownedError(path: string): Promise<MetricsStreamError> {
  const owner = await ownerOf(path);
  const who =
    owner === null
      ? 'another process'
      : `process ${owner.pid} on ${owner.host}, running since ${owner.startedAt}`;
  return new MetricsStreamError(
    'DATA_DIR_OWNED',
    `the data directory ${path} is in use by ${who}. Stop that process, or give --data-dir another directory.`,
  );
}

/** Who holds the directory's lock now, or null when nobody does. */
export function ownerOf(path: string): Promise<Owner | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: lockAddress(lockNameOf(path)) });
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => socket.destroy());
    socket.on('data', (part: string) => {
      text += part;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(parseOwner(text)));
  });
}

function parseOwner(text: string): Owner | null {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return null;
  }
}
