/** Stable codes of errors that an operator can act on; texts name the remedy. */
export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'PORT_IN_USE'
  | 'BIND_FAILED'
  | 'DATA_DIR_OWNED'
  | 'DATA_DIR_UNUSABLE'
  | 'OUTPUT_FAILED'
  | 'TRANSPORT_UNAVAILABLE'
  | 'WRITER_FAILED'
  | 'PAGE_MISSING'
  | 'DUCKDB_UNAVAILABLE'
  | 'ARCHIVE_DAMAGED'
  | 'LOG_INCOMPLETE'
  | 'SINK_FAILED'
  | 'SINK_FENCED'
  | 'LEARN_UNAVAILABLE'
  | 'QUERY_FAILED'
  | 'ARCHIVE_FAILED'
  | 'ARCHIVE_OWNED'
  | 'INVARIANT';

export class MetricsStreamError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MetricsStreamError';
    this.code = code;
  }
}

/** System errors that operators meet, in words; see errno(3). */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EBUSY: 'in use',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the other side closed the connection',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file size limit (ulimit -f) is reached',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files; raise ulimit -n (LimitNOFILE)',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many open files on this machine; raise fs.file-max',
  ENOTFOUND: 'unknown host name',
  ENOENT: 'no such file or directory',
  ENOMEM: 'out of memory',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'part of the path is not a directory',
  ENXIO: 'no such device',
  EPERM: 'operation not permitted',
  EPIPE: 'the reader has closed the pipe',
  EROFS: 'read-only file system',
  ERR_WORKER_INIT_FAILED:
    'a thread cannot be created; raise the limit of processes (--pids-limit, TasksMax, ulimit -u)',
};

/** The reason of a failed system call in words; for other errors, the message. One line. */
export function systemErrorText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const text = code === undefined ? undefined : SYSTEM_ERRORS[code];
  return text === undefined ? String(message ?? error).replaceAll(/\s*\n\s*/g, ' ') : `${text} (${code})`;
}

/** For invariants at batch boundaries: the message is a constant, so a passing check builds nothing. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new MetricsStreamError('INVARIANT', message);
}
