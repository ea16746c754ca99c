/** Tables as head and rows of text, and how Markdown shows them. */
import { textTable } from '../../load-test/format.ts';
import { type Quartiles, type Range, rangeOf } from '../statistics.ts';
import { median, number, withRange } from './numbers.ts';

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A column: its title, and the text of a row's cell. */
export type Column<Row> = readonly [title: string, text: (row: Row) => string];

/** A row of one figure's cells, one cell a round. */
export interface CellRow<Cell> {
  readonly cells: readonly Cell[];
}

export type RangeText = (range: Range | undefined, format?: (value: number) => string) => string;

/** Makes columns that show a figure of all cells: its median, unless `text` is another. */
export const columnsOver =
  <Cell>() =>
  (
    title: string,
    pick: (cell: Cell) => number,
    format: (value: number) => string = number,
    text: RangeText = median,
  ): Column<CellRow<Cell>> => [title, ({ cells }) => text(rangeOf(cells.map(pick)), format)];

/** Two columns: the median of a figure, and its quartiles. */
export const quartileColumns = <Row>(
  title: string,
  pick: (row: Row) => Quartiles,
  format: (value: number) => string,
): readonly Column<Row>[] => [
  [title, (row) => format(pick(row).p50)],
  ['p25–p75', (row) => `${format(pick(row).p25)}–${format(pick(row).p75)}`],
];

export function tableOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Table {
  return {
    head: columns.map(([title]) => title),
    rows: rows.map((row) => columns.map(([, text]) => text(row))),
  };
}

/** A figure of a round: its title, and how its number is shown. */
type RoundFigure<Round> = readonly [
  title: string,
  pick: (round: Round) => number,
  format?: (value: number) => string,
];

/** A row for each cell: its facts, then the median and range of each figure over its rounds. */
export function roundsTable<Cell, Round>(
  measured: ReadonlyMap<Cell, readonly Round[]>,
  facts: readonly Column<Cell>[],
  figures: readonly RoundFigure<Round>[],
): Table {
  return {
    head: [...facts, ...figures].map(([title]) => title),
    rows: [...measured].map(([cell, rounds]) => [
      ...facts.map(([, text]) => text(cell)),
      ...figures.map(([, pick, format]) => withRange(rangeOf(rounds.map(pick)), format)),
    ]),
  };
}

/** To the terminal. */
export const printTable = ({ head, rows }: Table): void => console.log(`${textTable([head, ...rows])}\n`);

export const markdownTables = (tables: Readonly<Record<string, Table>>): Record<string, string> =>
  Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, markdownTable(table)]));

/** A Markdown table whose columns also line up as plain text: the first to the left, the others to the right. */
export function markdownTable({ head, rows }: Table): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths
      .map((width, column) => {
        const cell = cells[column] ?? '';
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
