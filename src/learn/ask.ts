/** Questions to the learner, in a terminal. */
import { createInterface } from 'node:readline';
import { print } from './screen.ts';

export const canAsk = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** Shows the prompt before each line that it reads. Ctrl-D and Ctrl-C end it. Lines that arrive early are kept. */
async function* typedLines(prompt: string): AsyncGenerator<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt });
  try {
    terminal.prompt();
    for await (const line of terminal) {
      yield line.trim();
      terminal.prompt();
    }
  } finally {
    terminal.close();
  }
}

/** Repeats the question until the answer is a number above 0; null if there is none. */
export async function askNumber(question: string): Promise<number | null> {
  for await (const line of typedLines(`${question}: `)) {
    const value = Number(line.replaceAll(',', ''));
    if (line !== '' && Number.isFinite(value) && value > 0) return value;
    print('a number above 0, please; Ctrl-D ends');
  }
  return null;
}

/** Lines up to the first empty one; null if there are none. */
export async function askText(question: string): Promise<string | null> {
  print(`${question}; an empty line ends it`);
  const lines: string[] = [];
  for await (const line of typedLines('> ')) {
    if (line === '') break;
    lines.push(line);
  }
  return lines.length === 0 ? null : lines.join('\n');
}
