/** The checks of `config --check`: what `serve` would refuse before it opens the log. They leave no trace. */
import { accessSync, constants, lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ClassNames } from '../auth/class-names.ts';
import { readCredentials, tlsFilesOf } from '../auth/credentials.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import type { Config } from '../config/load.ts';
import { GIB } from '../config/units.ts';
import { rejectUnusableCertificate } from '../http/listener.ts';
import { probePort } from '../http/port-probe.ts';
import { loadUws } from '../http/uws.ts';

/**
 * Neither a port in use nor a data directory with an owner is an error here: the server that holds both may be the one
 * whose next configuration is checked.
 * @returns warnings
 * @throws MetricsStreamError
 */
export async function checkStart(config: Config): Promise<readonly string[]> {
  rejectLowLimits(config);
  const { warnings } = readCredentials(config, new ClassNames());
  rejectUnusableCertificate(loadUws().module, tlsFilesOf(config));
  checkDirectory('--data-dir', config.dataDir);
  if (config.logFile !== undefined) checkLogFile(config.logFile);
  await checkAddress(config);
  return warnings;
}

/**
 * The deepest directory of a path that exists; a start would create the rest in it.
 * @throws Error if a part of the path is a link to nothing
 */
export function existingDirectory(path: string): string {
  for (let directory = resolve(path); ; directory = dirname(directory)) {
    if (statSync(directory, { throwIfNoEntry: false }) !== undefined) return directory;
    if (isLink(directory)) throw new Error(`${directory} is a link to a directory that does not exist`);
  }
}

const isLink = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;

function checkDirectory(option: string, path: string): void {
  try {
    const directory = existingDirectory(path);
    if (!statSync(directory).isDirectory()) throw new Error(`${directory} is not a directory`);
    const { R_OK, W_OK, X_OK } = constants;
    accessSync(directory, directory === resolve(path) ? R_OK | W_OK | X_OK : W_OK | X_OK);
  } catch (error) {
    throw invalid(option, path, `${systemErrorText(error)}; give a directory that this user may write`);
  }
}

function checkLogFile(path: string): void {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isDirectory()) throw new Error('is a directory; name a file');
    if (stats === undefined) accessSync(dirname(createdAs(path)), constants.W_OK | constants.X_OK);
    else accessSync(path, constants.W_OK);
  } catch (error) {
    throw invalid('--log-file', path, systemErrorText(error));
  }
}

/** The path of the file that opening `path` would create: a link may name it. */
const createdAs = (path: string): string =>
  isLink(path) ? resolve(dirname(path), readlinkSync(path)) : resolve(path);

async function checkAddress({ host, port }: Config): Promise<void> {
  try {
    await probePort(host, port);
  } catch (error) {
    if (!(error instanceof MetricsStreamError)) throw error;
    if (error.code !== 'PORT_IN_USE') throw new MetricsStreamError('CONFIG_INVALID', error.message);
  }
}

function invalid(option: string, path: string, problem: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', `${option} ${path}: ${problem}`);
}

/** Measured: threads open their modules' files at the same time, and keep about 10 descriptors each. */
const DESCRIPTORS_BASE = 96;
const DESCRIPTORS_PER_WORKER = 48;
/** Measured, with a margin: V8 reserves 10 GiB of addresses for each WebAssembly memory, and uses few of them. */
const ADDRESSES_BASE = 36 * GIB;
const ADDRESSES_PER_WORKER = 12 * GIB;

/** @throws MetricsStreamError CONFIG_INVALID if the threads could not open their files, or not write them whole */
export function rejectLowLimits(config: Config): void {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  rejectLowDescriptorLimit(limits, config);
  rejectLowFileSizeLimit(limits, config);
  rejectLowAddressLimit(limits, config);
}

/** The soft limit; undefined if there is none. */
function limitOf(limits: string, name: string): number | undefined {
  const [, value] = new RegExp(`^${name} +(\\d+)`, 'm').exec(limits) ?? [];
  return value === undefined ? undefined : Number(value);
}

function rejectLowDescriptorLimit(limits: string, { workers }: Config): void {
  const limit = limitOf(limits, 'Max open files');
  const needed = DESCRIPTORS_BASE + workers * DESCRIPTORS_PER_WORKER;
  if (limit === undefined || limit >= needed) return;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `the limit of open files is ${limit}, --workers ${workers} needs ${needed}; raise it with ulimit -n (LimitNOFILE), or lower --workers`,
  );
}

function rejectLowAddressLimit(limits: string, { workers }: Config): void {
  const limit = limitOf(limits, 'Max address space');
  const needed = ADDRESSES_BASE + workers * ADDRESSES_PER_WORKER;
  if (limit === undefined || limit >= needed) return;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `the limit of virtual memory is ${Math.floor(limit / GIB)} GiB, --workers ${workers} needs ${needed / GIB} GiB; remove it with ulimit -v unlimited (LimitAS). A control group limits the memory in use`,
  );
}

/** Beyond the limit every write to a file would fail with EFBIG, long before the file is full. */
function rejectLowFileSizeLimit(limits: string, { segmentBytes, wal, walBytes }: Config): void {
  const limit = limitOf(limits, 'Max file size');
  const isWalLarger = wal !== 'off' && walBytes > segmentBytes;
  const needed = isWalLarger ? walBytes : segmentBytes;
  if (limit === undefined || limit >= needed) return;
  const option = isWalLarger ? '--wal-bytes' : '--segment-bytes';
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `the limit of file sizes is ${limit} bytes, ${option} is ${needed}; raise it with ulimit -f (LimitFSIZE), or lower ${option}`,
  );
}
