/** One JSON object per line, as the log itself is. */
import type { Formatter } from './formatter.ts';
import { jsonText } from './values.ts';

export function jsonFormat(columns: readonly string[]): Formatter {
  const keys = columns.map((name) => `${JSON.stringify(name)}:`);
  return {
    head: () => '',
    rows: (chunk) => {
      const lines = chunk.getRows().map((row) => {
        const members = row.map((value, index) => keys[index]! + jsonText(value));
        return `{${members.join(',')}}\n`;
      });
      return lines.join('');
    },
    end: () => '',
  };
}
