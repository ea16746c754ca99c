/**
 * Result pages: a person writes the sentences, a benchmark fills in the tables.
 *
 * A page marks the place of each table with `<!-- TOOL:NAME -->` and `<!-- /TOOL -->`, such as `<!-- journey:phase-2 -->`
 * and `<!-- /journey -->`. A run replaces what stands between the marks and leaves all else alone.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Markdown by name, in the order in which a new page shows it. */
export type Blocks = Readonly<Record<string, string>>;

const NOT_MEASURED = 'The last run did not measure this.';

/** Tables that the run does not have say so: they must not stand below the origin of another run. @throws when a mark has no end */
export function fillBlocks(text: string, tool: string, blocks: Blocks): string {
  const end = `<!-- /${tool} -->`;
  const parts = text.split(new RegExp(`<!-- ${tool}:([\\w.-]+) -->`));
  let filled = parts[0]!;
  for (let at = 1; at < parts.length; at += 2) {
    const name = parts[at]!;
    const [, behind] = splitOnce(parts[at + 1]!, end);
    if (behind === undefined) throw new Error(`the table ${tool}:${name} has no end: add ${end} below it`);
    filled += `<!-- ${tool}:${name} -->\n\n${blocks[name] ?? NOT_MEASURED}\n\n${end}${behind}`;
  }
  return filled;
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** All blocks one below the other: for a terminal, and for a directory that has no page yet. */
function plainPage(title: string, blocks: Blocks): string {
  const sections = Object.entries(blocks).map(([name, block]) => `## ${name}\n\n${block}\n`);
  return [`# ${title}\n`, ...sections].join('\n');
}

/** How the figures of a benchmark become tables and files. */
export interface Report<Run> {
  /** Of the marks, and of the files without their endings. */
  readonly name: string;
  readonly title: string;
  blocks(run: Run): Blocks;
  /** Charts and the like: contents by file name. */
  files?(run: Run): Readonly<Record<string, string>>;
}

/** The figures of an earlier run. @throws without a directory, or a file in it */
export function readRun<Run>({ name }: Pick<Report<Run>, 'name'>, directory: string | undefined): Run {
  if (directory === undefined) throw new Error(`--render needs --report DIR, where ${name}.json is`);
  return JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8')) as Run;
}

/**
 * Writes NAME.json, the files, and the tables of NAME.md in `directory`; also fills in the tables in the pages of
 * `phases` beside it. @returns the paths written
 */
export function writeReport<Run>(
  { name, title, blocks: blocksOf, files = () => ({}) }: Report<Run>,
  run: Run,
  directory: string,
): string[] {
  mkdirSync(directory, { recursive: true });
  const blocks = blocksOf(run);
  const page = join(directory, `${name}.md`);
  const text = existsSync(page)
    ? fillBlocks(readFileSync(page, 'utf8'), name, blocks)
    : plainPage(title, blocks);
  const contents = {
    [`${name}.json`]: `${JSON.stringify(run, undefined, 2)}\n`,
    [`${name}.md`]: text,
    ...files(run),
  };
  const written = Object.entries(contents).map(([file, content]) => {
    const path = join(directory, file);
    writeFileSync(path, content);
    return path;
  });
  return [...written, ...fillPages(join(directory, '../phases'), name, blocks)];
}

/** Writes a report into `directory`, or prints its tables if there is none. */
export function publish<Run>(report: Report<Run>, run: Run, directory: string | undefined): void {
  if (directory === undefined) console.log(plainPage(report.title, report.blocks(run)));
  else console.error(`wrote ${writeReport(report, run, directory).join(', ')}`);
}

/** Fills the marks in every page of a directory. @returns the paths of the pages that changed */
function fillPages(directory: string, tool: string, blocks: Blocks): string[] {
  if (!existsSync(directory)) return [];
  const pages = readdirSync(directory).filter((name) => name.endsWith('.md'));
  return pages
    .sort()
    .map((name) => join(directory, name))
    .filter((path) => {
      const text = readFileSync(path, 'utf8');
      const filled = fillBlocks(text, tool, blocks);
      if (filled !== text) writeFileSync(path, filled);
      return filled !== text;
    });
}
