/** The texts of the steps: complete, short enough, and with words that the glossary explains. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LEARN_PHASES, stepsOf } from '../../src/learn/catalogue.ts';
import { render, stepsIn } from '../../src/learn/markers.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { PHASES } from '../../src/phases.ts';

const WHY_WORDS_MAX = 120;
const MINUTES = { min: 5, max: 40 };
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const all = LEARN_PHASES.flatMap((phase) => stepsOf(ROOT, phase).map((step) => ({ phase, step })));

/** Words of the glossary with whether their row has a link. */
const glossary = new Map(
  [...read('docs/glossary.md').matchAll(/^\| <a id="([^"]+)"><\/a>([^|]+) \| (.*) \|$/gm)].map(
    ([, , word = '', meaning = '']) => [word.trim(), /\]\([^)]+\)/.test(meaning)] as const,
  ),
);

describe('the phases to learn', () => {
  it('have the names of the journey, and files, pages and neighbours that exist', () => {
    for (const { number, title, files, read: toRead, page, wants } of LEARN_PHASES) {
      const row = PHASES.find((phase) => String(phase.number) === number);
      assert.ok(row !== undefined, number);
      assert.ok([row.name, 'one request at a time'].includes(title), `${title}: ${row.name}`);
      for (const path of [...files, ...toRead, page]) assert.ok(existsSync(join(ROOT, path)), path);
      for (const file of files) assert.ok(!toRead.includes(file), `${file} is to be written, not read`);
      assert.ok(wants === null || LEARN_PHASES.some((phase) => phase.number === wants), wants ?? '');
    }
  });

  it('have a place in their files for each step, and steps for each place', () => {
    for (const phase of LEARN_PHASES.filter(({ files }) => files.length > 0)) {
      const ids = stepsOf(ROOT, phase).map(({ id }) => id);
      const own = phase.files
        .flatMap((file) => stepsIn(read(file), file))
        .filter((id) => id.startsWith(`${phase.number}.`));
      assert.deepEqual([...new Set(own)].sort(), [...ids].sort(), `phase ${phase.number}`);
    }
  });

  it('when solved equal the source byte for byte', () => {
    for (const file of LEARN_PHASES.flatMap(({ files }) => files)) {
      assert.equal(
        render(read(file), () => true, file),
        read(file),
      );
    }
  });
});

describe('the learning path', () => {
  const path = read('LEARNING_PATH.md');
  const sectionOf = (number: string): string =>
    path.split(`\n## Phase ${number}:`)[1]?.split('\n## ')[0] ?? '';

  it('names what to read before each phase, and never the files to write', () => {
    for (const { number, read: toRead, files } of LEARN_PHASES) {
      const row = /^\| read \| (.*) \|$/m.exec(sectionOf(number))?.[1] ?? '';
      for (const file of toRead) assert.ok(row.includes(file.replace(/^docs\//, '')), `${number}: ${file}`);
      for (const file of files)
        assert.ok(!row.includes(file), `${number}: ${file} is to be written, not read`);
    }
  });

  it('names the full tests of each phase', () => {
    for (const { number, tests } of LEARN_PHASES.filter(({ files }) => files.length > 0)) {
      const row = path.split('\n').find((line) => line.startsWith(`| ${number} | \`src/`)) ?? '';
      assert.ok(row.includes(`| \`${tests}\` |`), `${number}: ${tests}`);
    }
  });

  it('gives the hours of building as the sum of the steps of each level', () => {
    for (const level of new Set(LEARN_PHASES.map((phase) => phase.level))) {
      const minutes = all.filter(({ phase }) => phase.level === level);
      const sum = minutes.reduce((total, { step }) => total + step.minutes, 0) / 60;
      const row = path.split('\n').find((line) => line.startsWith(`| ${level} |`)) ?? '';
      const [, hours, building] = /\| (\d+) h \| ([\d.]+) h \|$/.exec(row) ?? [];
      assert.ok(
        Math.abs(Number(building) - sum) <= 0.3,
        `${level}: ${sum} h of steps, ${building} h on the page`,
      );
      assert.ok(Number(hours) > sum, level);
    }
  });
});

describe('the steps', () => {
  for (const { phase, step } of all) {
    it(`${step.id} ${step.title}: numbered, timed, explained, with three hints`, () => {
      const steps = stepsOf(ROOT, phase);
      assert.equal(step.id, `${phase.number}.${steps.findIndex(({ id }) => id === step.id) + 1}`);
      assert.ok(step.minutes >= MINUTES.min && step.minutes <= MINUTES.max, `${step.minutes} minutes`);
      const words = step.why.split(/\s+/).length;
      assert.ok(words >= 20 && words <= WHY_WORDS_MAX, `${words} words`);
      assert.equal(step.hints.length, 3);
      for (const hint of step.hints) assert.ok(hint.length >= 10, hint);
      assert.ok(step.hints[0]!.endsWith('?'), 'the first hint is a question');
      for (const word of step.words)
        assert.ok(glossary.has(word), `docs/glossary.md does not have "${word}"`);
    });
  }

  it('give no whole line of the solution away before the third hint', () => {
    for (const { phase, step } of all) {
      const lines = phase.files.flatMap((file) =>
        read(file)
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line.length >= 30 && !line.startsWith('//') && !line.startsWith('*')),
      );
      const early = step.hints.slice(0, 2).join('\n');
      for (const line of lines) assert.ok(!early.includes(line), `${step.id}: ${line}`);
    }
  });
});

describe('the glossary', () => {
  it('has a link in each row', () => {
    assert.ok(glossary.size > 0);
    for (const [word, hasLink] of glossary) assert.ok(hasLink, word);
  });
});
