/** The fenced code blocks of a Markdown document. */
import { readFileSync } from 'node:fs';

export interface Block {
  /** First word behind the fence: `sh`, `http`, `js` … */
  readonly language: string;
  /** The words behind it; GitHub does not show them. */
  readonly words: readonly string[];
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** The last line that is not empty before the fence. */
  readonly before: string;
}

export function blocksOf(path: string): Block[] {
  const blocks: Block[] = [];
  let open: { info: string; line: number; before: string; lines: string[] } | null = null;
  let before = '';
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (line.startsWith('```')) {
      if (open === null) {
        open = { info: line.slice(3).trim(), line: index + 1, before, lines: [] };
      } else {
        const [language = '', ...words] = open.info.split(/\s+/);
        blocks.push({ language, words, text: open.lines.join('\n'), line: open.line, before: open.before });
        open = null;
      }
    } else if (open !== null) open.lines.push(line);
    else if (line.trim() !== '') before = line;
  }
  if (open !== null) throw new Error(`${path}: the block at line ${open.line} has no end`);
  return blocks;
}
