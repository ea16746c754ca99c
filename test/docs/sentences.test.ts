/** Sentence patterns that docs/style.md rules out, in comments and documents. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/deploy-files.ts';

const FOLDERS = ['src', 'test', 'bench', 'load-test', 'scripts', 'deploy', 'docs'];
/** The style page quotes the patterns; results are mostly written by programs. */
const LEFT_OUT = /^docs\/(style\.md|results\/)/;

const files = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  ),
].filter((path) => /\.(ts|js|mjs|md)$/.test(path) && !LEFT_OUT.test(path));

const COMMENT = /\/\*\*?([\s\S]*?)\*\/|(?:^|\s)((?:\/\/ .*\n\s*)+)/g;

/** The prose of a file in paragraphs, each on one line; headings are left out. */
function paragraphsOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const prose = path.endsWith('.md')
    ? [text.replace(/```[\s\S]*?```/g, '\n\n')]
    : [...text.matchAll(COMMENT)].map((match) =>
        (match[1] ?? match[2] ?? '').replace(/^\s*(\*|\/\/) ?/gm, ''),
      );
  return prose
    .flatMap((part) => part.split(/\n\s*\n|\n(?=\s*(?:[-#|>]|\d+\.) )|@\w+/))
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim())
    .filter((paragraph) => !paragraph.startsWith('#'));
}

const sentencesOf = (path: string): string[] =>
  paragraphsOf(path).flatMap((paragraph) => paragraph.split(/(?<=[.!?:]["')*_]*) (?=[A-Z*_"'(`])/));

const isQuestion = (sentence: string): boolean => /\?["')*_]*( |$)/.test(sentence);

const RULED_OUT: readonly (readonly [string, (sentence: string) => boolean])[] = [
  [
    'start with "What" (docs/style.md, 2)',
    (sentence) => /^\W*What [a-z]/.test(sentence) && !isQuestion(sentence),
  ],
  [
    'invert a condition instead of using "if" (docs/style.md, 2)',
    (sentence) =>
      /^\W*(Is|Are|Was|Were|Would|Had|Does|Do) (there|the|it|a|an|this|they) .*,/.test(sentence) &&
      !isQuestion(sentence),
  ],
  [
    'say "is no x" (docs/style.md, 4)',
    (sentence) => /(?<!\b[Tt]here )\bis no [a-z]+(?<! no (?:longer|more|less))[,.;:)]/.test(sentence),
  ],
];

describe('comments and documents', () => {
  const sentences = files.flatMap((path) => sentencesOf(path).map((sentence) => ({ path, sentence })));
  for (const [name, isRuledOut] of RULED_OUT) {
    it(`do not ${name}`, () => {
      const found = sentences
        .filter(({ sentence }) => isRuledOut(sentence))
        .map(({ path, sentence }) => `${path}: ${sentence.slice(0, 120)}`);
      assert.deepEqual(found, []);
    });
  }
});
