/** Stable codes of errors a person can act on; texts name the remedy. */
export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'PORT_IN_USE'
  | 'BIND_FAILED'
  | 'DATA_DIR_OWNED'
  | 'DATA_DIR_UNUSABLE'
  | 'TRANSPORT_UNAVAILABLE'
  | 'WRITER_FAILED'
  | 'PAGE_MISSING'
  | 'INVARIANT';

export class MetricsStreamError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MetricsStreamError';
    this.code = code;
  }
}

/** For invariants at batch boundaries: the message is a constant, so a passing check builds nothing. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new MetricsStreamError('INVARIANT', message);
}
