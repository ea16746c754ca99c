/**
 * The tokens file: one token a line, `name token` or `name sha256:<64 hexadecimal digits>`.
 *
 * Only digests leave this module: neither errors nor results hold a token in clear. An error names file, line and
 * remedy. It repeats nothing of the line, because the token may be in the wrong place.
 */
import { hash } from 'node:crypto';
import { MetricsStreamError } from '../base/errors.ts';
import { readSmallFile, type SmallFile } from '../base/small-file.ts';
import type { ClassNames } from './class-names.ts';
import { DIGEST_BYTES, TOKEN_MAX_CHARS, type TokenClient, type TokenSet } from './token-set.ts';

export const TOKENS_MAX = 10_000;
/** 16 characters of a random base64 text are 96 bits. */
const TOKEN_MIN_CHARS = 16;
/** Holds TOKENS_MAX lines of the longest names and tokens. */
const FILE_MAX_BYTES = 8 << 20;

const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
/** RFC 6750, section 2.1: `b64token`. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
const DIGEST = /^sha256:[0-9A-Fa-f]{64}$/;
/** Labels of telemetry: for clients without a token, and for those beyond the number of classes. */
const RESERVED = ['anonymous', 'other'];

const OTHERS_MAY_READ = 0o004;

interface Line {
  readonly name: string;
  /** SHA-256 of the token, in lower-case hexadecimal. */
  readonly digest: string;
}

/** @returns the line's name and digest, or the problem */
function parseLine(text: string): Line | string {
  const fields = text.split(/[ \t]+/);
  const [name = '', token = ''] = fields;
  if (fields.length !== 2) return 'write a name, a space and a token, nothing else';
  if (!NAME.test(name)) return 'the name may have 1 to 64 of the characters A-Z a-z 0-9 _ . -';
  if (RESERVED.includes(name)) return `"${name}" is reserved; choose another name`;
  if (token.startsWith('sha256:')) {
    if (!DIGEST.test(token)) return 'sha256: takes 64 hexadecimal digits; write the whole digest';
    return { name, digest: token.slice('sha256:'.length).toLowerCase() };
  }
  if (token.length < TOKEN_MIN_CHARS || token.length > TOKEN_MAX_CHARS) {
    return `a token has ${TOKEN_MIN_CHARS} to ${TOKEN_MAX_CHARS} characters; make one with: openssl rand -hex 32`;
  }
  if (!TOKEN.test(token)) {
    return 'a token may have the characters A-Z a-z 0-9 - . _ ~ + / and = at its end; make one with: openssl rand -hex 32';
  }
  return { name, digest: hash('sha256', token, 'hex') };
}

function refuse(path: string, problem: string): never {
  throw new MetricsStreamError('CONFIG_INVALID', `--tokens-file ${path}: ${problem}`);
}

/** Editors and copies end a file with a newline. Without it the last token may be cut, at any length. */
function refuseHalfWritten(text: string, path: string): void {
  if (text === '' || text.endsWith('\n')) return;
  refuse(
    path,
    'looks half-written: the last line has no newline at its end; complete it, or add the newline',
  );
}

/**
 * @param path for messages
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function parseTokens(text: string, path: string, classes: ClassNames): TokenSet {
  refuseHalfWritten(text, path);
  const lineOf = new Map<string, number>();
  const clientIndexes = new Map<string, number>();
  const clientOf: number[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const parsed = parseLine(line);
    if (typeof parsed === 'string') refuse(path, `line ${index + 1}: ${parsed}`);
    const { name, digest } = parsed;
    const before = lineOf.get(digest);
    if (before !== undefined) {
      refuse(path, `line ${index + 1}: the same token as in line ${before}; remove one`);
    }
    lineOf.set(digest, index + 1);
    if (lineOf.size > TOKENS_MAX) refuse(path, `line ${index + 1}: more than ${TOKENS_MAX} tokens`);
    if (!clientIndexes.has(name)) clientIndexes.set(name, clientIndexes.size);
    clientOf.push(clientIndexes.get(name)!);
  }
  if (lineOf.size === 0) {
    refuse(path, 'holds no token, so no client could post; add a line "name token", or drop the option');
  }
  const clients: TokenClient[] = [...clientIndexes.keys()].map((name) => ({
    name,
    classIndex: classes.indexOf(name),
  }));
  const digests = new Uint8Array(Buffer.from([...lineOf.keys()].join(''), 'hex'));
  if (digests.length !== clientOf.length * DIGEST_BYTES) throw new RangeError('a digest of another length');
  return { digests, clientOf: Int32Array.from(clientOf), clients };
}

/**
 * @param warn called with each risk that is allowed
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function readTokens(path: string, classes: ClassNames, warn: (text: string) => void): TokenSet {
  let file: SmallFile;
  try {
    file = readSmallFile(path, FILE_MAX_BYTES);
  } catch (error) {
    refuse(path, (error as Error).message);
  }
  if ((file.stats.mode & OTHERS_MAY_READ) !== 0) {
    warn(`--tokens-file ${path} is readable by every user of this machine; run chmod o-r on it`);
  }
  return parseTokens(file.bytes.toString('utf8'), path, classes);
}
