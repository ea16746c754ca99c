import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Journey } from '../../bench/journey/figures.ts';
import { journeyBlocks } from '../../bench/journey/tables.ts';
import { fillBlocks, type Report, writeReport } from '../../bench/report/document.ts';
import { PHASES } from '../../src/phases.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const BEGIN = '<!-- tool:one -->';
const END = '<!-- /tool -->';

describe('a page with marks', () => {
  test('gets each table between its marks and keeps the rest', () => {
    const text = `above\n${BEGIN}\nold\n${END}\nbetween\n<!-- tool:two -->${END}\nbelow\n`;
    const filled = fillBlocks(text, 'tool', { one: '| 1 |', two: '| 2 |' });
    assert.equal(
      filled,
      `above\n${BEGIN}\n\n| 1 |\n\n${END}\nbetween\n<!-- tool:two -->\n\n| 2 |\n\n${END}\nbelow\n`,
    );
    assert.equal(fillBlocks(filled, 'tool', { one: '| 1 |', two: '| 2 |' }), filled);
  });

  test('keeps the tables of other tools', () => {
    const text = `${BEGIN}\nold\n${END}\n`;
    assert.equal(fillBlocks(text, 'other', { one: '| 1 |' }), text);
  });

  test('does not keep old figures of a table that the run did not measure', () => {
    assert.match(fillBlocks(`${BEGIN}\nold\n${END}`, 'tool', {}), /did not measure this/);
  });

  test('is refused when a mark has no end', () => {
    assert.throws(
      () => fillBlocks(`${BEGIN}\nold\n`, 'tool', { one: '' }),
      /tool:one has no end: add <!-- \/tool -->/,
    );
  });
});

test('a directory without a page gets one with all tables', () => {
  const directory = mkdtempSync(join(os.tmpdir(), 'results-'));
  try {
    const report: Report<object> = { name: 'tool', title: 'Figures', blocks: () => ({ one: '| 1 |' }) };
    writeReport(report, { a: 1 }, directory);
    assert.equal(readFileSync(join(directory, 'tool.md'), 'utf8'), '# Figures\n\n## one\n\n| 1 |\n');
    assert.deepEqual(JSON.parse(readFileSync(join(directory, 'tool.json'), 'utf8')), { a: 1 });
    writeFileSync(join(directory, 'tool.md'), `My words.\n${BEGIN}${END}\n`);
    writeReport(report, { a: 1 }, directory);
    assert.match(readFileSync(join(directory, 'tool.md'), 'utf8'), /^My words\..*\| 1 \|/s);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the published pages show the figures of their JSON files', () => {
  const journey = JSON.parse(readFileSync(join(ROOT, 'docs/results/journey.json'), 'utf8')) as Journey;
  const blocks = journeyBlocks(journey);
  // A new phase has a page before its first run.
  const phaseMarks = PHASES.map(({ number }) => `phase-${number}`);
  for (const folder of ['docs/results', 'docs/phases']) {
    for (const name of readdirSync(join(ROOT, folder)).filter((file) => file.endsWith('.md'))) {
      const text = readFileSync(join(ROOT, folder, name), 'utf8');
      assert.equal(
        fillBlocks(text, 'journey', blocks),
        text,
        `${folder}/${name}: npm run journey -- --render`,
      );
      for (const [, mark] of text.matchAll(/<!-- journey:([\w.-]+) -->/g)) {
        assert.ok(blocks[mark!] !== undefined || phaseMarks.includes(mark!), `${folder}/${name}: ${mark}`);
      }
    }
  }
});
