/** Names in the documents must exist: paths of files, and identifiers in the pages about shared memory. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/deploy-files.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

function filesUnder(folder: string, ending: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => ending.test(name))
    .map((name) => join(folder, name));
}

const documents = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...filesUnder('docs', /\.md$/).filter((path) => !path.startsWith('docs/results')),
];

/** `src/base/cpus.ts`, `test/e2e/`, but neither `src/<name>.ts` nor `docs/phases/*.md`. */
const PATH = /`((?:src|test|bench|load-test|scripts|deploy|docs)\/[\w./-]*\w[\w./-]*)`/g;
const IDENTIFIER = /`(\w+)(?:\.(\w+))?(?:\(\))?`/g;

describe('the documents', () => {
  it('name files and folders that exist', () => {
    const missing = documents.flatMap((document) =>
      [...read(document).matchAll(PATH)]
        .map((match) => match[1] ?? '')
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${document}: ${path}`),
    );
    assert.deepEqual(missing, []);
  });

  it('of the architecture name files of src that exist', () => {
    const names = [...read('docs/architecture.md').matchAll(/`([a-z]+\/[a-z/-]+\.ts)`/g)].map(
      (match) => match[1] ?? '',
    );
    const missing = names.filter(
      (name) => ![name, join('src', name)].some((path) => existsSync(join(ROOT, path))),
    );
    assert.deepEqual(missing, []);
  });

  it('about shared memory name identifiers that exist in src', () => {
    const source = filesUnder('src', /\.ts$/).map(read).join('\n');
    const words = new Set(source.match(/\w+/g));
    const missing = ['docs/memory-layout.md', 'docs/memory-ordering.md'].flatMap((document) =>
      [...read(document).matchAll(IDENTIFIER)]
        .flatMap((match) => [match[1], match[2]])
        .filter((word) => word !== undefined && /[a-z]/i.test(word) && !words.has(word))
        .map((word) => `${document}: ${word}`),
    );
    assert.deepEqual(missing, []);
  });
});
