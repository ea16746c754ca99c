/**
 * The causes that keep `consume` from its work now, for the log and /health: each once when it begins or changes, and once when
 * it has passed.
 */
import type { Logger } from '../base/log.ts';

export class Troubles {
  private readonly logger: Logger;
  /** From what is in trouble to the reason. */
  private readonly current = new Map<string, string>();

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** @param subject what does not work, such as `the sink`; the same one for `pass` */
  occur(subject: string, reason: string): void {
    if (this.current.get(subject) === reason) return;
    this.current.set(subject, reason);
    this.logger.warn({ subject }, `${reason}; trying again`);
  }

  pass(subject: string): void {
    if (this.current.delete(subject)) this.logger.info({ subject }, 'works again');
  }

  includes(reason: string): boolean {
    return [...this.current.values()].includes(reason);
  }

  /** The oldest reason that still holds, or null. */
  get reason(): string | null {
    const [reason = null] = this.current.values();
    return reason;
  }
}
