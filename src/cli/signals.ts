/**
 * Signals, handled from the first statement of the process on. This module loads nothing but Node's own modules, so
 * that the time before is Node's start alone.
 *
 * Without a listener, Node opens a debugger on SIGUSR1, and most other signals end the process at once. Signals that
 * arrive before the server can act on them are kept, and served in order.
 */
import { close as closeInspector, url as inspectorUrl } from 'node:inspector';

/** Drain and end. Some of them mean something else to other programs, but all would end this one without draining. */
const STOP = [
  ...(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGIO', 'SIGPWR'] as const),
  'SIGSTKFLT',
] as const;
const RELOAD = 'SIGHUP';
const REOPEN = ['SIGUSR1', 'SIGUSR2'] as const;

export interface SignalActions {
  /** Drain and end; again: end at once. */
  stop(signal: NodeJS.Signals): void;
  /** Read tokens and certificate again, and reopen the log. */
  reload(signal: NodeJS.Signals): void;
  reopenLog(signal: NodeJS.Signals): void;
}

/**
 * Waits between the checks for a debugger that a SIGUSR1 during Node's own start has requested. Node may open it twice:
 * at once, and again in the first turn of the event loop, however late that comes. So each check waits for the one
 * before.
 */
const INSPECTOR_CHECKS_MS = [0, 50, 500];

/** A debugger that the operator did not request would let every local user run code in the server. */
function closeUnrequestedInspector(): void {
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ');
  if (/--inspect(?!-port|-publish)/.test(options)) return;
  const closeIfOpen = (): void => {
    if (inspectorUrl() !== undefined) closeInspector();
  };
  const checkIn = ([delayMs, ...later]: readonly number[]): void => {
    closeIfOpen();
    if (delayMs !== undefined) setTimeout(checkIn, delayMs, later).unref();
  };
  checkIn(INSPECTOR_CHECKS_MS);
}

export class Signals {
  private actions: SignalActions | null = null;
  private readonly pending: NodeJS.Signals[] = [];

  /** @param serves false for commands that end by signals as any program does */
  constructor(serves: boolean) {
    process.on('SIGUSR1', this.handle);
    closeUnrequestedInspector();
    if (!serves) return;
    for (const signal of [...STOP, RELOAD, 'SIGUSR2'] as const) process.on(signal, this.handle);
  }

  /** Acts on the signals that have arrived, and on all that follow. */
  attach(actions: SignalActions): void {
    this.actions = actions;
    for (const signal of this.pending.splice(0)) this.handle(signal);
  }

  private readonly handle = (signal: NodeJS.Signals): void => {
    const { actions } = this;
    if (actions === null) this.pending.push(signal);
    else if (signal === RELOAD) actions.reload(signal);
    else if (REOPEN.some((reopen) => reopen === signal)) actions.reopenLog(signal);
    else actions.stop(signal);
  };
}

/** Whether the command line starts the server: `serve` is the default command. */
export function startsServer([command]: readonly string[]): boolean {
  return command === undefined || command === 'serve' || command.startsWith('-');
}
