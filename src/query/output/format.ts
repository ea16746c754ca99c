/** The formats of a result that are text. Parquet is written by DuckDB itself. */
import { csvFormat } from './csv.ts';
import type { Formatter } from './formatter.ts';
import { jsonFormat } from './json.ts';
import { tableFormat } from './table.ts';

export const TEXT_FORMATS = {
  table: tableFormat,
  csv: csvFormat,
  json: jsonFormat,
} as const satisfies Record<string, (columns: readonly string[]) => Formatter>;

export type TextFormat = keyof typeof TEXT_FORMATS;
