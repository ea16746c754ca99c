/**
 * One process owns a data directory, and notices when the directory is replaced.
 *
 * Two locks say so, and the kernel releases both however the process dies. An abstract socket named after the directory's
 * device and inode (process-lock.ts) works without help and tells who the owner is, within one network namespace.
 * flock(2) (directory-lock.ts) holds across namespaces and mounts. The file OWNER names the owner to people.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { makeDirectories } from '../base/directories.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { acquireLock, lockAddress } from '../base/process-lock.ts';
import {
  createDirectoryIdentity,
  DirectoryIdentity,
  directoryChange,
  type FileId,
  sameFile,
} from './directory-identity.ts';
import { type FlockResult, isNamed, lockDirectory, lockOwnerFile, OWNER_FILE } from './directory-lock.ts';
import { codeOf, nodeFileOps } from './file-ops.ts';
import { readLogRecord } from './log-record.ts';
import { listSegments } from './segment-name.ts';

const ANSWER_MS = 1_000;
const WATCH_MS = 500;

export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly startedAt: string;
}

export interface WatchEvents {
  /** Logged once for each incident. */
  warn(text: string): void;
  /** Another process has the lock: this one must store nothing more. */
  lost(reason: string): void;
}

/** The locks of one directory. */
interface Hold {
  readonly id: FileId;
  readonly directoryFd: number | null;
  ownerFd: number | null;
  /** Why flock(2) does not protect the directory, or null. */
  readonly unprotected: string | null;
  releaseSocket(): Promise<void>;
}

/**
 * Creates the directory if it is missing and acquires its locks.
 * @throws MetricsStreamError DATA_DIR_UNUSABLE, or DATA_DIR_OWNED naming the owner
 */
export async function acquireDataDir(path: string): Promise<DataDirLock> {
  makeUsable(path);
  const owner: Owner = { pid: process.pid, host: os.hostname(), startedAt: new Date().toISOString() };
  const text = `${JSON.stringify(owner)}\n`;
  const first = await hold(path, text);
  if (first !== null) return new DataDirLock(path, text, first);
  throw new MetricsStreamError(
    'DATA_DIR_UNUSABLE',
    `the data directory ${path} was replaced while the server locked it. Start the server again.`,
  );
}

export class DataDirLock {
  /** A `DirectoryIdentity`: the directory that this process owns. */
  readonly directory: SharedArrayBuffer;
  private readonly path: string;
  private readonly ownerText: string;
  /** The last one is of the directory in use. The others stay: their directories may come back. */
  private readonly holds: Hold[];
  private readonly identity: DirectoryIdentity;
  private timer: NodeJS.Timeout | undefined;
  /** The directory that was found instead and is not used, as device and inode. */
  private rejected = '';

  constructor(path: string, ownerText: string, first: Hold) {
    this.path = path;
    this.ownerText = ownerText;
    this.holds = [first];
    this.directory = createDirectoryIdentity(nodeFileOps, path);
    this.identity = new DirectoryIdentity(this.directory);
    this.identity.publish(first.id);
  }

  /** Why servers in other namespaces are not kept out, or null. */
  get unprotected(): string | null {
    return this.holds.at(-1)!.unprotected;
  }

  /**
   * Twice a second, checks whether the path still leads to the directory. Acquires and publishes a new directory that
   * may continue the log.
   * @param log the id of the log
   */
  watch(log: string, events: WatchEvents): void {
    let busy = false;
    const check = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      await this.check(log, events);
      busy = false;
    };
    this.timer = setInterval(() => void check(), WATCH_MS).unref();
  }

  private async check(log: string, events: WatchEvents): Promise<void> {
    if (directoryChange(nodeFileOps, this.path, this.identity.get()) === null) this.checkOwnerFile(events);
    else await this.follow(log, events);
  }

  /** OWNER may have been deleted or replaced: where only its lock protects the directory, it must be locked again. */
  private checkOwnerFile(events: WatchEvents): void {
    const current = this.holds.at(-1)!;
    if (current.ownerFd === null || isNamed(current.ownerFd, join(this.path, OWNER_FILE))) return;
    try {
      const result = lockOwnerFile(this.path);
      if (result.kind === 'conflict') events.lost('another server has locked the data directory');
      if (result.kind !== 'locked') return;
      fs.closeSync(current.ownerFd);
      current.ownerFd = result.fd;
      writeOwner(result.fd, this.ownerText);
      events.warn('the file OWNER was deleted or replaced: written again');
    } catch {
      // Tried again at the next check.
    }
  }

  private async follow(log: string, events: WatchEvents): Promise<void> {
    let found: fs.Stats;
    try {
      found = fs.statSync(this.path);
    } catch {
      // The writer refuses metrics until the directory is back.
      return;
    }
    const key = `${found.dev} ${found.ino}`;
    if (key === this.rejected) return;
    const reason = (await this.tryFollow(log, found)) ?? '';
    // If the path has changed again, the reason may be that of neither directory.
    if (reason === '' || directoryChange(nodeFileOps, this.path, found) !== null) return;
    this.rejected = key;
    events.warn(`${this.path} leads to another directory, which is not used: ${reason}`);
  }

  /** Why the log cannot continue in the directory found, or null. */
  private async tryFollow(log: string, found: FileId): Promise<string | null> {
    try {
      const reason = this.unsuitable(log, found);
      if (reason !== null) return reason;
      const next = this.removeHold(found) ?? (await hold(this.path, this.ownerText));
      // Replaced once more: the next check decides about the directory that is there then.
      if (next === null) return null;
      this.holds.push(next);
      this.identity.publish(next.id);
      return null;
    } catch (error) {
      return error instanceof MetricsStreamError ? error.message : codeOf(error);
    }
  }

  /** This process holds a directory that it has left: locking it again would find it owned. */
  private removeHold(directory: FileId): Hold | null {
    const index = this.holds.findIndex(({ id }) => sameFile(id, directory));
    return index === -1 ? null : this.holds.splice(index, 1)[0]!;
  }

  private unsuitable(log: string, { dev }: FileId): string | null {
    const { record } = readLogRecord(nodeFileOps, this.path);
    if (record?.id === log) return null;
    if (record !== null) return `it holds another log, ${record.id}. Restart the server to use it`;
    if (dev !== this.identity.get().dev)
      return 'it is on another device. Bring the old one back, or restart the server';
    const isEmpty = listSegments(nodeFileOps, this.path).length === 0;
    return isEmpty ? null : 'it holds segments without log.json. Restart the server to use them';
  }

  async release(): Promise<void> {
    clearInterval(this.timer);
    const { ownerFd } = this.holds.at(-1)!;
    const file = join(this.path, OWNER_FILE);
    // While the lock is held, so that the file removed is this process's.
    if (ownerFd === null || isNamed(ownerFd, file)) removeOwner(file);
    for (const held of this.holds) await releaseHold(held);
  }
}

/** A file that stays harms nobody: its lock ends with this process. */
function removeOwner(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    // The file system became read-only, or there is a directory of that name.
  }
}

/**
 * Acquires the locks of the directory at `path`. Null if the path has led to another directory meanwhile.
 * @throws MetricsStreamError DATA_DIR_UNUSABLE or DATA_DIR_OWNED
 */
async function hold(path: string, ownerText: string): Promise<Hold | null> {
  try {
    return await lock(path, ownerText);
  } catch (error) {
    if (error instanceof MetricsStreamError) throw error;
    const text = `cannot lock the data directory ${path}: ${codeOf(error)}`;
    throw new MetricsStreamError('DATA_DIR_UNUSABLE', text, { cause: error });
  }
}

async function lock(path: string, ownerText: string): Promise<Hold | null> {
  const id = fs.statSync(path);
  const releaseSocket = await lockSocket(path, ownerText);
  const locked: number[] = [];
  const descriptorOf = (result: FlockResult): number | null => {
    if (result.kind === 'conflict') throw ownedError(path, ownerInFile(path));
    if (result.kind === 'unavailable') return null;
    locked.push(result.fd);
    return result.fd;
  };
  let held: Hold | null = null;
  try {
    const directory = lockDirectory(path);
    const directoryFd = descriptorOf(directory);
    const file = lockAndWriteOwner(path, ownerText);
    const ownerFd = descriptorOf(file);
    const unprotected =
      directory.kind === 'unavailable' && file.kind === 'unavailable' ? directory.reason : null;
    const next: Hold = { id, directoryFd, ownerFd, unprotected, releaseSocket };
    if (leadsTo(path, next)) held = next;
    return held;
  } finally {
    if (held === null) {
      for (const fd of locked) fs.closeSync(fd);
      await releaseSocket();
    }
  }
}

/** Whether the path leads to the directory of all these locks. */
function leadsTo(path: string, { id, directoryFd }: Hold): boolean {
  if (directoryFd !== null && !sameFile(fs.fstatSync(directoryFd), id)) return false;
  return directoryChange(nodeFileOps, path, id) === null;
}

async function lockSocket(path: string, ownerText: string): Promise<() => Promise<void>> {
  try {
    return await acquireLock(lockNameOf(path), ownerText);
  } catch (error) {
    throw codeOf(error) === 'EADDRINUSE' ? ownedError(path, await ownerOf(path)) : error;
  }
}

async function releaseHold({ directoryFd, ownerFd, releaseSocket }: Hold): Promise<void> {
  if (directoryFd !== null) fs.closeSync(directoryFd);
  if (ownerFd !== null) fs.closeSync(ownerFd);
  await releaseSocket();
}

function lockAndWriteOwner(path: string, text: string): FlockResult {
  try {
    const result = lockOwnerFile(path);
    if (result.kind === 'locked') writeOwner(result.fd, text);
    else if (result.kind === 'unavailable') fs.writeFileSync(join(path, OWNER_FILE), text, { mode: 0o640 });
    return result;
  } catch (error) {
    // A full disk must not prevent the start: the server answers 503 until there is room.
    return { kind: 'unavailable', reason: `cannot write ${OWNER_FILE}: ${codeOf(error)}` };
  }
}

function writeOwner(fd: number, text: string): void {
  fs.ftruncateSync(fd, 0);
  fs.writeSync(fd, text, 0);
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
    makeDirectories(path, 0o750);
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

function ownedError(path: string, owner: Owner | null): MetricsStreamError {
  const who =
    owner === null
      ? 'another process'
      : `process ${owner.pid} on ${owner.host}, running since ${owner.startedAt}`;
  return new MetricsStreamError(
    'DATA_DIR_OWNED',
    `the data directory ${path} is in use by ${who}. Stop that process, or give --data-dir another directory.`,
  );
}

/** The process that holds the directory's socket now, or null if there is none in this network namespace. */
export function ownerOf(path: string): Promise<Owner | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: lockAddress(lockNameOf(path)) });
    let text = '';
    let isHeld = false;
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => socket.destroy());
    socket.on('connect', () => {
      isHeld = true;
    });
    socket.on('data', (part: string) => {
      text += part;
    });
    socket.on('error', () => {});
    // An owner too busy to answer in time is one all the same.
    socket.on('close', () => resolve(parseOwner(text) ?? (isHeld ? ownerInFile(path) : null)));
  });
}

/** From another network namespace, and for an owner too busy to answer, only the file names it. */
function ownerInFile(path: string): Owner | null {
  try {
    return parseOwner(fs.readFileSync(join(path, OWNER_FILE), 'utf8'));
  } catch {
    return null;
  }
}

function parseOwner(text: string): Owner | null {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return null;
  }
}
