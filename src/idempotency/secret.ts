/**
 * The secret that idempotency keys are hashed with, in a file of the data directory: it has to outlive the process, so
 * that the next one recognises the keys it finds in the segments.
 *
 * The first request with a key creates the file. Without it no segment holds a key, and a start reads none back.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { codeOf, type FileOps } from '../storage/file-ops.ts';

const SECRET_FILE = '.idempotency-secret';
/** For the owner only: whoever knows the secret can guess keys from their hashes. */
const MODE = 0o600;
const SECRET_WORDS = 4;
const HEX_DIGITS = 2 * SECRET_WORDS * Int32Array.BYTES_PER_ELEMENT;

/** SECRET_WORDS words. */
export type Secret = Int32Array;

/**
 * @returns null when the directory has none
 * @throws MetricsStreamError DATA_DIR_UNUSABLE when the file cannot be read or does not hold a secret
 */
export function readSecret(ops: FileOps, dataDir: string): Secret | null {
  const path = join(dataDir, SECRET_FILE);
  const text = Buffer.alloc(HEX_DIGITS + 1);
  let length: number;
  try {
    const fd = ops.open(path, fs.constants.O_RDONLY);
    try {
      length = ops.read(fd, text, 0, text.length, 0);
    } finally {
      ops.close(fd);
    }
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return null;
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot read ${path}: ${code}; check its type, owner and mode`,
      { cause: error },
    );
  }
  const digits = text.toString('latin1', 0, length).trim();
  if (!/^[0-9a-f]+$/.test(digits) || digits.length !== HEX_DIGITS) {
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `${path} does not hold ${HEX_DIGITS} hexadecimal digits; restore or delete it`,
    );
  }
  const bytes = Buffer.from(digits, 'hex');
  return Int32Array.from({ length: SECRET_WORDS }, (_, word) => bytes.readInt32LE(word * 4));
}

/**
 * The secret of the directory, made durable first if it is new. Threads may race: the first to name its file wins.
 * @throws as `readSecret`, or the file system's error
 */
export function openSecret(ops: FileOps, dataDir: string): Secret {
  const found = readSecret(ops, dataDir);
  if (found !== null) return found;
  const path = join(dataDir, SECRET_FILE);
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  const text = Buffer.from(`${randomBytes(HEX_DIGITS / 2).toString('hex')}\n`);
  const { O_CREAT, O_EXCL, O_WRONLY, O_RDONLY, O_DIRECTORY } = fs.constants;
  const fd = ops.open(temporary, O_WRONLY | O_CREAT | O_EXCL, MODE);
  try {
    ops.write(fd, text, 0, text.length, 0);
    ops.fsync(fd);
    linkUnlessNamed(temporary, path);
  } finally {
    ops.close(fd);
    ops.unlink(temporary);
  }
  const directory = ops.open(dirname(path), O_RDONLY | O_DIRECTORY);
  try {
    ops.fsync(directory);
  } finally {
    ops.close(directory);
  }
  return readSecret(ops, dataDir)!;
}

/** A rename would replace the secret of a thread that was faster. */
function linkUnlessNamed(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
