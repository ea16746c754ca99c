/** Text for the terminal; without one, and with NO_COLOR, plain. */
import { tableLines } from '../base/table-text.ts';

const isPlain = (): boolean => !process.stdout.isTTY || (process.env.NO_COLOR ?? '') !== '';

const styled =
  (code: number) =>
  (text: string): string =>
    isPlain() ? text : `\u001b[${code}m${text}\u001b[0m`;

export const bold = styled(1);
export const dim = styled(2);
export const red = styled(31);
export const green = styled(32);

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

const WIDTH = 100;

/** Breaks paragraphs at words; list items and code keep their lines. */
export function wrapped(text: string, indent = ''): string {
  const width = WIDTH - indent.length;
  const paragraphs = text.split(/\n\s*\n/).flatMap((paragraph) => {
    if (paragraph.startsWith('```'))
      return [paragraph.replace(/^```.*\n|\n```$/g, '').replace(/^/gm, '    ')];
    return [
      paragraph
        .split(/\n(?=[-*] |\d+\. )/)
        .map((item) => fold(item, width))
        .join('\n'),
    ];
  });
  return paragraphs.join('\n\n').replace(/^(?=.)/gm, indent);
}

function fold(text: string, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

/** `label: text` with the text folded beside the label. */
export function labelled(label: string, text: string, indent: string): string {
  const [first = '', ...rest] = wrapped(text).split('\n');
  const pad = indent + ' '.repeat(label.length + 2);
  return [`${indent}${label}: ${first}`, ...rest.map((line) => (line === '' ? '' : pad + line))].join('\n');
}

export const aligned = (rows: readonly (readonly string[])[]): string => tableLines(rows).join('\n');
