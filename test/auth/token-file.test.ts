import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ClassNames } from '../../src/auth/class-names.ts';
import { parseTokens, readTokens, TOKENS_MAX } from '../../src/auth/token-file.ts';
import { MetricsStreamError } from '../../src/base/errors.ts';
import { CLASSES } from '../../src/telemetry/counters.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const TOKEN = 'correct-horse-battery-staple';
const OTHER_TOKEN = 'a-second-token-of-enough-length';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const parseFile = (text: string) => parseTokens(text, 'tokens.txt', new ClassNames());
/** Of a file that ends with a newline. */
const parse = (text: string) => parseFile(`${text}\n`);
const digestsOf = (text: string): string => Buffer.from(parse(text).digests).toString('hex');

/** The message of the refusal; it names the file and holds none of `secrets`. */
function refusal(text: string, ...secrets: string[]): string {
  return refusalOf(() => parse(text), ...secrets);
}

function refusalOf(run: () => unknown, ...secrets: string[]): string {
  let message = '';
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof MetricsStreamError);
    assert.equal(error.code, 'CONFIG_INVALID');
    message = error.message;
    return true;
  });
  assert.match(message, /--tokens-file tokens\.txt/);
  for (const secret of secrets) assert.ok(!message.includes(secret), message);
  return message;
}

describe('a tokens file', () => {
  it('may hold tokens, digests, comments, blank lines, tabs and Windows line ends', () => {
    const text = `# web servers\r\nweb ${TOKEN}\r\n\r\n\tedge\tsha256:${sha256(OTHER_TOKEN).toUpperCase()}\n   # end`;
    assert.equal(digestsOf(text), sha256(TOKEN) + sha256(OTHER_TOKEN));
    assert.deepEqual(
      parse(text).clients.map(({ name }) => name),
      ['web', 'edge'],
    );
  });

  it('reads a digest like the token itself', () => {
    assert.equal(digestsOf(`web sha256:${sha256(TOKEN)}`), digestsOf(`web ${TOKEN}`));
  });

  it('cut at any byte is refused, or ends before a line', () => {
    const whole = `web ${TOKEN}\nedge sha256:${sha256(OTHER_TOKEN)}\n`;
    for (let length = 1; length < whole.length; length++) {
      const cut = whole.slice(0, length);
      if (cut.endsWith('\n')) assert.equal(parseFile(cut).clientOf.length, 1);
      else
        assert.match(
          refusalOf(() => parseFile(cut), TOKEN),
          /half-written.*newline/,
        );
    }
  });

  it('keeps no token in clear', () => {
    const kept =
      JSON.stringify(parse(`web ${TOKEN}`)) + Buffer.from(parse(`web ${TOKEN}`).digests).toString('latin1');
    assert.ok(!kept.includes(TOKEN));
  });

  it('lets one client have several tokens', () => {
    const { clients, clientOf } = parse(`web ${TOKEN}\nedge ${TOKEN}2\nweb ${OTHER_TOKEN}`);
    assert.deepEqual([...clientOf], [0, 1, 0]);
    assert.equal(clients.length, 2);
  });

  for (const [what, text, expected, ...secrets] of [
    ['nothing', '', /holds no token/],
    ['only comments', '# web secret-secret-secret\n\n', /holds no token/, 'secret-secret'],
    ['a line without a name', TOKEN, /line 1: write a name/, TOKEN],
    ['a line of three words', `web ${TOKEN} extra`, /line 1: write a name/, TOKEN],
    ['name and token in the wrong order', `\n${TOKEN}==${TOKEN} web`, /line 2: /, TOKEN],
    ['a name with other characters', `wéb ${TOKEN}`, /line 1: the name may have/, TOKEN],
    ['a name that is too long', `${'n'.repeat(65)} ${TOKEN}`, /line 1: the name may have/, TOKEN],
    ['a reserved name', `anonymous ${TOKEN}`, /"anonymous" is reserved/, TOKEN],
    [
      'a short token',
      'web fifteen-letters',
      /line 1: a token has 16 to 512.*openssl rand/,
      'fifteen-letters',
    ],
    ['a long token', `web ${'t'.repeat(513)}`, /line 1: a token has 16 to 512/, 'tttt'],
    ['a token outside RFC 6750', `web pässword-pässword`, /line 1: a token may have/, 'pässword'],
    [
      'half a digest',
      `web sha256:${sha256(TOKEN).slice(1)}`,
      /line 1: .*64 hexadecimal/,
      sha256(TOKEN).slice(1),
    ],
    ['a token twice', `web ${TOKEN}\n\nedge ${TOKEN}`, /line 3: the same token as in line 1/, TOKEN],
    [
      'a token and its digest',
      `a ${TOKEN}\nb sha256:${sha256(TOKEN)}`,
      /line 2: the same/,
      TOKEN,
      sha256(TOKEN),
    ],
  ] as const) {
    it(`with ${what} is refused, without revealing its contents`, () => {
      assert.match(refusal(text, ...secrets), expected);
    });
  }

  it(`may hold ${TOKENS_MAX} tokens and no more`, () => {
    const lines = Array.from(
      { length: TOKENS_MAX },
      (_, k) => `c${k % 100} ${randomBytes(12).toString('hex')}`,
    );
    assert.equal(parse(lines.join('\n')).clientOf.length, TOKENS_MAX);
    assert.match(refusal([...lines, `c ${TOKEN}`].join('\n'), TOKEN), /more than 10000 tokens/);
  });

  it('that is missing is refused, with the reason', (t) => {
    const path = join(temporaryDirectory(t), 'none');
    assert.throws(
      () => readTokens(path, new ClassNames(), () => {}),
      /--tokens-file .*none: cannot be read: no such file/,
    );
  });

  it('that every user may read causes a warning', (t) => {
    const path = join(temporaryDirectory(t), 'tokens');
    writeFileSync(path, `web ${TOKEN}\n`, { mode: 0o600 });
    const warnings: string[] = [];
    const read = () => readTokens(path, new ClassNames(), (text) => warnings.push(text));
    assert.equal(read().clientOf.length, 1);
    assert.deepEqual(warnings, []);
    chmodSync(path, 0o644);
    read();
    assert.match(warnings.join(), /readable by every user.*chmod o-r/);
  });

  it('that is too large is refused', (t) => {
    const path = join(temporaryDirectory(t), 'tokens');
    writeFileSync(path, Buffer.alloc((8 << 20) + 1, '#'), { mode: 0o600 });
    assert.throws(() => readTokens(path, new ClassNames(), () => {}), /has more than 8388608 bytes/);
  });
});

describe('the classes of clients', () => {
  it('keep their index when the file changes', () => {
    const classes = new ClassNames();
    const [a, b] = parseTokens(`a ${TOKEN}\nb ${OTHER_TOKEN}\n`, 'x', classes).clients;
    parseTokens(`c ${TOKEN}\n`, 'x', classes);
    const [b2, a2, d] = parseTokens(`b ${TOKEN}1\na ${TOKEN}2\nd ${TOKEN}3\n`, 'x', classes).clients;
    assert.equal(a2?.classIndex, a?.classIndex);
    assert.equal(b2?.classIndex, b?.classIndex);
    assert.equal(new Set([a, b, d].map((client) => client?.classIndex)).size, 3);
    assert.deepEqual(classes.names().slice(0, 5), ['anonymous', 'a', 'b', 'c', 'd']);
  });

  it('beyond the number of indexes count as "other"', () => {
    const classes = new ClassNames();
    assert.ok(!classes.names().includes('other'));
    const indexes = Array.from({ length: 30 }, (_, k) => classes.indexOf(`class-${k}`));
    assert.deepEqual(
      indexes,
      indexes.map((_, k) => Math.min(k + 1, CLASSES.length - 1)),
    );
    assert.equal(classes.names().at(-1), 'other');
    assert.equal(classes.names().length, CLASSES.length);
  });
});
