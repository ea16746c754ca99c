/**
 * The token check of a POST: scheme, SHA-256, keyed lookup, comparison; and beside it what a comparison with every digest
 * would cost.
 */
import assert from 'node:assert/strict';
import { createHash, hash, timingSafeEqual } from 'node:crypto';
import { authenticate } from '../../src/auth/bearer.ts';
import { ClassNames } from '../../src/auth/class-names.ts';
import { parseTokens, TOKENS_MAX } from '../../src/auth/token-file.ts';
import { TokenTable } from '../../src/auth/token-table.ts';
import { compare } from '../harness/compare.ts';

const CALLS = 512;
/** Comparing with all digests takes milliseconds. */
const SCANS = 2;
const SEED = 20_261;

const tokenOf = (seed: string): string => createHash('sha256').update(`${SEED} ${seed}`).digest('base64url');

const tokens = Array.from({ length: TOKENS_MAX }, (_, k) => tokenOf(String(k)));
const wrongTokens = tokens.map((_, k) => tokenOf(`wrong ${k}`));

function tableOf(count: number): TokenTable {
  const lines = tokens.slice(0, count).map((token, k) => `client-${k} ${token}`);
  return new TokenTable(parseTokens(`${lines.join('\n')}\n`, 'bench', new ClassNames()));
}

/** Header values as they come from the transport: each a string of its own, never seen before. */
const headersOf = (list: readonly string[]): Buffer[] => list.map((token) => Buffer.from(`Bearer ${token}`));
const fresh = (header: Buffer): string => header.toString('latin1');

function checkCase(name: string, count: number, sent: readonly string[], found: boolean) {
  const headers = headersOf(sent);
  let table: TokenTable | undefined;
  let at = 0;
  return {
    name,
    perRun: CALLS,
    verify: () => {
      table ??= tableOf(count);
      for (const header of headers) assert.equal(authenticate(table, fresh(header)) !== null, found);
    },
    run: () => {
      table ??= tableOf(count);
      let passed = 0;
      for (let call = 0; call < CALLS; call++) {
        if (authenticate(table, fresh(headers[at]!)) !== null) passed++;
        at = at + 1 === headers.length ? 0 : at + 1;
      }
      assert.equal(passed, found ? CALLS : 0);
    },
  };
}

function hashCase(name: string) {
  const headers = headersOf(tokens.slice(0, CALLS));
  return {
    name,
    perRun: CALLS,
    verify: () => assert.equal(hash('sha256', 'abc', 'hex').slice(0, 8), 'ba7816bf'),
    run: () => {
      let length = 0;
      for (const header of headers) length += hash('sha256', fresh(header).slice(7), 'binary').length;
      assert.equal(length, CALLS * 32);
    },
  };
}

function scanCase(name: string) {
  const digests = tokens.map((token) => createHash('sha256').update(token).digest());
  const presented = Buffer.alloc(32);
  const find = (token: string): number => {
    presented.write(hash('sha256', token, 'binary'), 'latin1');
    let found = -1;
    for (let k = 0; k < digests.length; k++) if (timingSafeEqual(presented, digests[k]!)) found = k;
    return found;
  };
  return {
    name,
    perRun: SCANS,
    verify: () => assert.equal(find(tokens[77]!), 77),
    run: () => {
      for (let call = 0; call < SCANS; call++) assert.equal(find(wrongTokens[call]!), -1);
    },
  };
}

await compare({
  title: 'token check',
  unit: 'request',
  workload: { seed: SEED, digest: createHash('sha256').update(tokens.join()).digest('hex').slice(0, 12) },
  cases: [
    hashCase('SHA-256 of the token, nothing else'),
    checkCase('right, of 1 token', 1, tokens.slice(0, 1), true),
    checkCase('right, of 100 tokens', 100, tokens.slice(0, 100), true),
    checkCase('right, of 10,000 tokens', TOKENS_MAX, tokens, true),
    checkCase('wrong, of 10,000 tokens', TOKENS_MAX, wrongTokens, false),
    scanCase('comparing with each of 10,000 digests'),
  ],
  baseline: 'SHA-256 of the token, nothing else',
});
