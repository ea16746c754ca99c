/**
 * A table for people. The first rows decide the width of each column, so that rows can be printed as they come; longer
 * values later are cut.
 */
import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import type { Formatter } from './formatter.ts';
import { plainText } from './values.ts';

const WIDTH_MAX = 60;
const CUT = '…';
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

export function tableFormat(columns: readonly string[]): Formatter {
  let widths: readonly number[] | null = null;
  let isRight: readonly boolean[] = [];
  let count = 0;
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, index) => pad(cell, widths![index]!, isRight[index] ?? false));
    return `${padded.join('  ').trimEnd()}\n`;
  };
  const begin = (rows: readonly (readonly string[])[]): string => {
    widths = columns.map((name, index) =>
      Math.min(WIDTH_MAX, Math.max(widthOf(name), ...rows.map((row) => widthOf(row[index]!)))),
    );
    return line(columns.map(visible)) + line(widths.map((width) => '─'.repeat(width)));
  };
  return {
    head: () => '',
    rows: (chunk: DuckDBDataChunk) => {
      const rows = chunk.getRows();
      count += rows.length;
      const cells = rows.map((row) => row.map(cellText));
      if (widths === null) isRight = columns.map((_, index) => isNumber(rows[0]?.[index]));
      const head = widths === null ? begin(cells) : '';
      return head + cells.map(line).join('');
    },
    end: () => {
      const head = widths === null ? begin([]) : '';
      return `${head}(${count} ${count === 1 ? 'row' : 'rows'})\n`;
    },
  };
}

function cellText(value: DuckDBValue): string {
  return value === null ? 'NULL' : visible(plainText(value));
}

/** Stored text must not control the terminal. */
function visible(text: string): string {
  return text.replaceAll(CONTROL, (character) =>
    JSON.stringify(character)
      .slice(1, -1)
      .replace(/^[\u007f-\u009f]$/, '?'),
  );
}

function isNumber(value: DuckDBValue | undefined): boolean {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** In code points, which suffices for most scripts. */
function widthOf(text: string): number {
  return [...text].length;
}

function pad(cell: string, width: number, isRight: boolean): string {
  const characters = [...cell];
  if (characters.length > width) return characters.slice(0, width - 1).join('') + CUT;
  const spaces = ' '.repeat(width - characters.length);
  return isRight ? spaces + cell : cell + spaces;
}
