/** The text of `query --schema`. */
import { MACROS } from './macros.ts';

const COLUMNS = [
  ['time', 'TIMESTAMP', 'UTC, to the millisecond'],
  ['name', 'VARCHAR', ''],
  ['type', 'VARCHAR', 'counter, gauge, histogram or summary'],
  ['tags', 'MAP(VARCHAR, VARCHAR)', `tags['host'] is NULL without that tag`],
  ['value', 'DOUBLE', ''],
  ['commit', 'BIGINT', 'number of its commit in the log; NULL for the last milliseconds'],
] as const;

export function schemaText(): string {
  const columns = COLUMNS.map(([name, type, help]) =>
    `  ${name.padEnd(8)}${type.padEnd(23)}${help}`.trimEnd(),
  );
  const macros = MACROS.map(
    ({ call, columns: result, help, example }) => `  ${call}\n    ${help}\n    → ${result}\n    ${example}`,
  );
  return `view metrics: every acknowledged metric once\n${columns.join('\n')}\n\nmacros\n${macros.join('\n\n')}\n`;
}
