/**
 * The tokens file: one token a line, `name token` or `name sha256:<64 hexadecimal digits>`.
 *
 * Only digests leave this file: neither errors nor what is returned hold a token in clear. An error names file, line
 * and remedy; it repeats nothing of the line, since whatever is wrong with it may be that the token stands elsewhere.
 */
import { hash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { MetricsStreamError } from '../base/errors.ts';
import type { ClassNames } from './class-names.ts';
import { DIGEST_BYTES, TOKEN_MAX_CHARS, type TokenClient, type TokenSet } from './token-set.ts';

export const TOKENS_MAX = 10_000;
/** 16 characters of a random base64 text are 96 bits. */
const TOKEN_MIN_CHARS = 16;
/** Holds TOKENS_MAX lines of the longest names and tokens many times over the usual ones. */
const FILE_MAX_BYTES = 8 << 20;

const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
/** RFC 6750, section 2.1: `b64token`. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
const DIGEST = /^sha256:[0-9A-Fa-f]{64}$/;
/** Labels that telemetry gives to those without a token and to those beyond the classes counted apart. */
const RESERVED = ['anonymous', 'other'];

const OTHERS_MAY_READ = 0o004;

interface Line {
  readonly name: string;
  /** SHA-256 of the token in lower-case hexadecimal. */
  readonly digest: string;
}

/** @returns the line's name and digest, or what is wrong with it */
function parseLine(text: string): Line | string {
  const fields = text.split(/[ \t]+/);
  const [name = '', token = ''] = fields;
  if (fields.length !== 2) return 'write a name, a space and a token, nothing else';
  if (!NAME.test(name)) return 'the name may have 1 to 64 of the characters A-Z a-z 0-9 _ . -';
  if (RESERVED.includes(name)) return `"${name}" is reserved; choose another name`;
  if (token.startsWith('sha256:')) {
    if (!DIGEST.test(token)) return 'behind sha256: write the 64 hexadecimal digits of the digest';
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

/**
 * @param path for messages
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function parseTokens(text: string, path: string, classes: ClassNames): TokenSet {
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
      refuse(path, `line ${index + 1}: the same token as in line ${before}; remove one of them`);
    }
    lineOf.set(digest, index + 1);
    if (lineOf.size > TOKENS_MAX) refuse(path, `line ${index + 1}: more than ${TOKENS_MAX} tokens`);
    if (!clientIndexes.has(name)) clientIndexes.set(name, clientIndexes.size);
    clientOf.push(clientIndexes.get(name)!);
  }
  if (lineOf.size === 0) {
    refuse(path, 'holds no token, so nobody could post; add a line "name token", or drop the option');
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
 * @param warn told of what is risky but no error
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function readTokens(path: string, classes: ClassNames, warn: (text: string) => void): TokenSet {
  let text: string;
  try {
    const { size, mode } = statSync(path);
    if (size > FILE_MAX_BYTES) refuse(path, `has ${size} bytes; at most ${FILE_MAX_BYTES} are read`);
    if ((mode & OTHERS_MAY_READ) !== 0) {
      warn(`--tokens-file ${path} may be read by every user of this machine: chmod o-r it`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof MetricsStreamError) throw error;
    refuse(path, `${(error as Error).message}; is it there, and may this process read it?`);
  }
  return parseTokens(text, path, classes);
}
