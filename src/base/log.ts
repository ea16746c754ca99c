import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogOutput } from './log-output.ts';

export type { Logger };

const STDOUT = 1;

/** Loads its library only for a terminal, so that a service starts without it. */
function readable(): (line: string) => string {
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  return prettyFactory({
    colorize: process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb',
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
}

/**
 * JSON lines, or readable ones on a terminal.
 * @param isFile the output is a file that the operator named, not standard output
 */
export function createLogger(level: string, output: LogOutput, isFile: boolean): Logger {
  const format = !isFile && isatty(STDOUT) ? readable() : null;
  const destination: DestinationStream & { flushSync(): void } = {
    write: (line) => output.write(format === null ? line : format(line)),
    // pino calls it after a fatal line, behind which the process may end.
    flushSync: () => output.flushSync(),
  };
  const log = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  output.onRecovered = (lines) => log.warn({ lines }, 'log lines were lost: the log could not be written');
  output.onDeleted = () => log.warn('the file of the log was deleted: created it again');
  return log;
}
