/** Each option of these subcommands has a row with its default on the subcommand's page. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Command, type Option } from 'commander';
import { addLoadCommand } from '../../load-test/command.ts';
import { addArchiveCommand } from '../../src/cli/archive.ts';
import { addConsumeCommand } from '../../src/cli/consume.ts';
import { addExportCommand } from '../../src/cli/export.ts';
import { addQueryCommand } from '../../src/cli/query.ts';
import { ROOT } from '../support/deploy-files.ts';

interface Subcommand {
  readonly name: string;
  readonly add: (program: Command) => void;
  readonly pages: readonly string[];
}

const SUBCOMMANDS: readonly Subcommand[] = [
  { name: 'export', add: addExportCommand, pages: ['scale-out.md', 'postgres.md', 'nats.md'] },
  { name: 'consume', add: addConsumeCommand, pages: ['nats.md', 'postgres.md'] },
  { name: 'archive', add: addArchiveCommand, pages: ['archive.md'] },
  { name: 'query', add: addQueryCommand, pages: ['query.md'] },
  { name: 'load', add: addLoadCommand, pages: ['load-testing.md'] },
];

interface Row {
  readonly names: string;
  readonly fallback: string;
}

/** Rows `| option | default | meaning |`. */
function rowsOf(page: string): Row[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  return [...text.matchAll(/^\| (`--[^|]+) \| ([^|]+) \|/gm)].map(([, names = '', fallback = '']) => ({
    names,
    fallback,
  }));
}

/** The default as `--help` shows it; '' for options without one. */
function defaultOf({ defaultValue, defaultValueDescription }: Option): string {
  const text = defaultValueDescription ?? defaultValue;
  const isShown = (typeof text === 'string' && text !== tmpdir()) || typeof text === 'number';
  return isShown ? String(text) : '';
}

describe('the options of', () => {
  for (const { name, add, pages } of SUBCOMMANDS) {
    it(`${name} are on ${pages.join(', ')}`, () => {
      const program = new Command();
      add(program);
      const rows = pages.flatMap(rowsOf);
      const missing = program.commands
        .flatMap(({ options }) => options)
        .filter(
          (option) =>
            !rows.some(
              ({ names, fallback }) =>
                names.includes(`\`${option.long}\``) && fallback.includes(defaultOf(option)),
            ),
        )
        .map((option) => `${option.long}, default: ${defaultOf(option)}`);
      assert.deepEqual(missing, []);
    });
  }
});
