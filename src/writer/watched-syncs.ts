/**
 * File operations that report to the breaker when a sync begins and ends. Main can then see a stalled sync while the
 * thread that waits for it is blocked.
 */
import { monotonicMs } from '../base/clock.ts';
import { BACKGROUND, type Breaker, FOREGROUND } from '../breaker/breaker.ts';
import type { FileOps } from '../storage/file-ops.ts';

/** The same operations, for syncs of one thread and at most one in the background. */
export function watchSyncs(ops: FileOps, breaker: Breaker): FileOps {
  const watched = (sync: (fd: number) => void) => (fd: number) => {
    breaker.syncBegins(FOREGROUND, monotonicMs());
    try {
      sync(fd);
    } finally {
      breaker.syncEnded(FOREGROUND);
    }
  };
  return {
    ...ops,
    fdatasync: watched((fd) => ops.fdatasync(fd)),
    fsync: watched((fd) => ops.fsync(fd)),
    fdatasyncInBackground: (fd, done) => {
      breaker.syncBegins(BACKGROUND, monotonicMs());
      ops.fdatasyncInBackground(fd, (error) => {
        breaker.syncEnded(BACKGROUND);
        done(error);
      });
    },
  };
}
