/** Where figures come from: every result carries its command, its machine with the commit, and its date. */
import { commitText, machineText } from '../../load-test/report/machine.ts';
import { markdownTable } from './table.ts';

export interface Origin {
  readonly command: string;
  /** Processor, cores, memory, kernel, Node.js and commit. */
  readonly machine: string;
  readonly date: string;
}

export const machine = (): string => [machineText(), commitText()].filter((text) => text !== '').join(', ');

/** Of this process. @param program how it was started, without its other arguments: `npm run journey` */
export function originOf(program: string): Origin {
  const args = process.argv.slice(2);
  const separator = args.length > 0 && !program.includes(' -- ') ? ['--'] : [];
  return {
    command: [program, ...separator, ...args].join(' '),
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
  };
}

/** The table that stands above the figures of a run. @param settings further rows, such as its rounds */
export function originTable(
  { command, machine: where, date, failures = [] }: Origin & { readonly failures?: readonly string[] },
  settings: Readonly<Record<string, string | number>> = {},
): string {
  const failed = failures.length > 0 ? { FAILED: failures.join('; ') } : {};
  const rows = { command: `\`${command}\``, 'machine, commit': where, date, ...settings, ...failed };
  return markdownTable({
    head: ['run', ''],
    rows: Object.entries(rows).map(([name, text]) => [name, String(text)]),
  });
}
