import assert from 'node:assert/strict';
import crypto, { randomBytes } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { authenticate, challengeFor } from '../../src/auth/bearer.ts';
import { ClassNames } from '../../src/auth/class-names.ts';
import { parseTokens } from '../../src/auth/token-file.ts';
import { TokenTable } from '../../src/auth/token-table.ts';

const newToken = (): string => randomBytes(24).toString('base64url');

function tableOf(tokens: readonly string[], nameOf = (k: number) => `client-${k}`): TokenTable {
  const text = tokens.map((token, k) => `${nameOf(k)} ${token}\n`).join('');
  return new TokenTable(parseTokens(text, 'tokens', new ClassNames()));
}

const nameIn = (table: TokenTable, authorization: string): string | null => {
  const client = authenticate(table, authorization);
  return client && Buffer.from(client.limitKey).toString();
};

/** The results of each lookup's comparisons, in order. */
function comparisonsOf(t: TestContext, table: TokenTable, tokens: readonly string[]): boolean[][] {
  const { timingSafeEqual } = crypto;
  let results: boolean[] = [];
  crypto.timingSafeEqual = (a, b) => {
    const equal = timingSafeEqual(a, b);
    results.push(equal);
    return equal;
  };
  syncBuiltinESMExports();
  t.after(() => {
    crypto.timingSafeEqual = timingSafeEqual;
    syncBuiltinESMExports();
  });
  return tokens.map((token) => {
    results = [];
    table.find(token);
    return results;
  });
}

describe('a table of tokens', () => {
  const tokens = Array.from({ length: 2_000 }, newToken);
  const table = tableOf(tokens);

  it('finds the client of every token, and none for any other', () => {
    for (const [k, token] of tokens.entries()) assert.equal(nameIn(table, `Bearer ${token}`), `client-${k}`);
    for (let k = 0; k < 2_000; k++) assert.equal(table.find(newToken()), null);
  });

  it('rejects every prefix, extension and change of one character', () => {
    for (const token of tokens.slice(0, 50)) {
      for (let at = 0; at < token.length; at++) {
        const changed = `${token.slice(0, at)}${token[at] === 'x' ? 'y' : 'x'}${token.slice(at + 1)}`;
        assert.equal(table.find(changed), null);
        assert.equal(table.find(token.slice(0, at)), null);
      }
      assert.equal(table.find(`${token}=`), null);
    }
  });

  it('gives all tokens of one client the same key for the limits', () => {
    const shared = tableOf(tokens.slice(0, 10), (k) => (k < 5 ? 'web' : 'edge'));
    const keys = tokens.slice(0, 10).map((token) => shared.find(token)?.limitKey);
    for (const [k, key] of keys.entries())
      assert.deepEqual(String.fromCharCode(...(key ?? [])), k < 5 ? 'web' : 'edge');
  });

  it('continues to compare after a match, so that its duration reveals nothing', (t) => {
    const comparisons = comparisonsOf(t, table, tokens);
    for (const results of comparisons) assert.equal(results.filter(Boolean).length, 1);
    const beyond = comparisons.filter((results) => results.indexOf(true) < results.length - 1);
    assert.ok(beyond.length > 50, `${beyond.length} of ${tokens.length} lookups went on behind the match`);
  });

  it('compares whole digests in places that a guess cannot choose: they differ from table to table', (t) => {
    const guesses = Array.from({ length: 500 }, newToken);
    const counts = [table, tableOf(tokens)].map((one) =>
      comparisonsOf(t, one, guesses).map((results) => results.length),
    );
    const differing = guesses.filter((_, k) => counts[0]![k] !== counts[1]![k]);
    assert.ok(differing.length > 50, `${differing.length} of ${guesses.length} differ`);
    assert.ok(Math.max(...counts.flat()) < 60, 'a wrong guess costs a bounded number of comparisons');
  });
});

describe('an Authorization header', () => {
  const token = 'mF_9.B5f-4.1JqM~x+y/z==';
  const table = tableOf([token]);
  const scheme = fc
    .array(fc.boolean(), { minLength: 6, maxLength: 6 })
    .map((upper) => [...'bearer'].map((letter, k) => (upper[k] ? letter.toUpperCase() : letter)).join(''));

  it('names the scheme in any case, with any number of spaces before the token (RFC 9110, 11.4)', () => {
    fc.assert(
      fc.property(scheme, fc.integer({ min: 1, max: 5 }), (name, spaces) => {
        assert.equal(nameIn(table, `${name}${' '.repeat(spaces)}${token}`), 'client-0');
      }),
    );
  });

  it('of any other form is not a token', () => {
    const other = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.tuple(scheme, fc.string()).map(([name, rest]) => `${name} ${rest}`),
      fc.constantFrom(
        ...[
          token,
          `Bearer${token}`,
          `Bearer`,
          `Bearer `,
          ` Bearer ${token}`,
          `Bearer\t${token}`,
          `Basic ${token}`,
        ],
        ...[`Bearer ${token},`, `Bearer ${token} ${token}`, `Bearer ${token}, Bearer ${token}`],
        ...[
          `Bearer "${token}"`,
          `Token ${token}`,
          `Bearer ${token.toLowerCase()}`,
          `Bearer ${'x'.repeat(8_000)}`,
        ],
      ),
    );
    fc.assert(
      fc.property(other, (authorization) => {
        assert.equal(authenticate(table, authorization), null);
      }),
      { numRuns: 1_000 },
    );
  });

  it('gets an error only if a token was given (RFC 6750, 3.1)', () => {
    assert.equal(challengeFor(''), 'Bearer realm="metricsstream"');
    assert.equal(challengeFor('Basic dXNlcjpwYXNz'), 'Bearer realm="metricsstream"');
    assert.match(challengeFor('bearer nope'), /^Bearer realm="metricsstream", error="invalid_token"/);
  });

  it('never comes back in the challenge', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12 }), (text) => {
        fc.pre(!challengeFor('bearer x').includes(text));
        assert.ok(!challengeFor(`Bearer ${text}`).includes(text));
      }),
    );
  });
});
