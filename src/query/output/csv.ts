/** CSV as in RFC 4180, with a header line, and newlines as on Unix. NULL is an empty field, an empty string is `""`. */
import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import type { Formatter } from './formatter.ts';
import { plainText } from './values.ts';

const SPECIAL = /[",\r\n]/;

export function csvFormat(columns: readonly string[]): Formatter {
  return {
    head: () => `${columns.map(field).join(',')}\n`,
    rows: (chunk: DuckDBDataChunk) => chunk.getRows().map(line).join(''),
    end: () => '',
  };
}

function line(row: readonly DuckDBValue[]): string {
  return `${row.map(field).join(',')}\n`;
}

function field(value: DuckDBValue): string {
  const text = plainText(value);
  if (text === '') return value === null ? '' : '""';
  return SPECIAL.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
