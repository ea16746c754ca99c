/**
 * Rows as aligned columns, two blanks apart. One text, so that a reader that ends after the first line, such as
 * `head`, finds all of it in the pipe already.
 */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}
