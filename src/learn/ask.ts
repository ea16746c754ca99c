/** Questions to the learner, in a terminal. */
import { createInterface, type Interface } from 'node:readline/promises';
import { print } from './screen.ts';

export const canAsk = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** @returns null if the learner ends the input with Ctrl-D or Ctrl-C */
async function withTerminal<Answer>(ask: (terminal: Interface) => Promise<Answer>): Promise<Answer | null> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const closed = new Promise<null>((resolve) => terminal.once('close', () => resolve(null)));
  try {
    return await Promise.race([ask(terminal), closed]);
  } finally {
    terminal.close();
  }
}

/** Repeats the question until the answer is a number above 0; null if there is none. */
export function askNumber(question: string): Promise<number | null> {
  return withTerminal(async (terminal) => {
    for (;;) {
      const text = (await terminal.question(`${question}: `)).trim().replaceAll(',', '');
      const value = Number(text);
      if (text !== '' && Number.isFinite(value) && value > 0) return value;
      print('a number above 0, please; Ctrl-D ends');
    }
  });
}

/** Lines up to the first empty one; null if there are none. */
export async function askText(question: string): Promise<string | null> {
  print(`${question}; an empty line ends it`);
  const text = await withTerminal(async (terminal) => {
    const lines: string[] = [];
    for (;;) {
      const line = await terminal.question('> ');
      if (line.trim() === '') return lines.join('\n').trim();
      lines.push(line);
    }
  });
  return text === '' ? null : text;
}
