/** Admission policies that all see the same storage: ours, and those it is compared with. */
import { AdmissionControl } from '../../src/admission/control.ts';
import type { Admitting } from './storage-model.ts';

export interface Policy {
  readonly name: string;
  open(ringBytes: number): Admitting;
}

/** The product's own. */
export function adaptive(targetMs: number): Policy {
  return {
    name: 'delay-steered window',
    open: (ringBytes) => {
      // The model's storage in the place of the journal, and its costs where the writer reports them.
      let lastStored = 0;
      const journal = { usedBytes: 0, storedCursor: () => lastStored };
      const cost = { storedAtMs: 0, fixedMs: 0, bytesPerMs: 0 };
      const control = new AdmissionControl(
        { targetDelayMs: targetMs, ack: 'synced', journalBytes: ringBytes },
        journal,
        cost,
      );
      return {
        admits: (usedBytes, _tasks, nowMs) => {
          journal.usedBytes = usedBytes;
          return !control.refusesHeaders(nowMs);
        },
        handedOver: (cursor, depthBytes, nowMs) => {
          journal.usedBytes = depthBytes;
          control.published(cursor, nowMs);
        },
        stored: (cursor, storedMs, fixedMs, shareBytesPerMs, nowMs) => {
          lastStored = cursor;
          Object.assign(cost, { storedAtMs: storedMs, fixedMs, bytesPerMs: shareBytesPerMs });
          control.stored(cursor, nowMs);
        },
      };
    },
  };
}

const NOTHING = { handedOver: () => {}, stored: () => {} };

/** The ring and the task queue, nothing else. */
export const staticBounds: Policy = {
  name: 'static bounds only',
  open: () => ({ ...NOTHING, admits: () => true }),
};

/** So many requests in flight, for all disks. */
export function fixedConcurrency(most: number): Policy {
  return {
    name: `at most ${most} requests`,
    open: () => ({ ...NOTHING, admits: (_usedBytes, tasks) => tasks < most }),
  };
}

/** Requests handed over and not yet stored, and the delay of stored ones. */
class Sojourns {
  private readonly handed: { readonly cursor: number; readonly ms: number }[] = [];

  add(cursor: number, ms: number): void {
    this.handed.push({ cursor, ms });
  }

  /** Delays of all that the cursor has passed. */
  passed(storedCursor: number, storedMs: number): number[] {
    const delaysMs: number[] = [];
    while (this.handed.length > 0 && ((storedCursor - this.handed[0]!.cursor) | 0) >= 0) {
      delaysMs.push(storedMs - this.handed.shift()!.ms);
    }
    return delaysMs;
  }
}

/** CoDel's drop law (RFC 8289), applied where dropping is still possible: to arrivals. */
export function codel(targetMs: number, intervalMs: number): Policy {
  return {
    name: "CoDel's drop law",
    open: () => {
      const sojourns = new Sojourns();
      let aboveSinceMs = Number.POSITIVE_INFINITY;
      let dropping = false;
      let dropNextMs = 0;
      let count = 0;
      return {
        admits: (_usedBytes, _tasks, nowMs) => {
          if (!dropping && nowMs - aboveSinceMs >= intervalMs) {
            dropping = true;
            // Goes on where it was, when it dropped a short while ago.
            count = nowMs - dropNextMs < 16 * intervalMs && count > 2 ? count - 2 : 1;
            dropNextMs = nowMs;
          }
          if (!dropping || nowMs < dropNextMs) return true;
          count++;
          dropNextMs += intervalMs / Math.sqrt(count);
          return false;
        },
        handedOver: (cursor, _depthBytes, nowMs) => sojourns.add(cursor, nowMs),
        stored: (cursor, storedMs, _fixedMs, _share, nowMs) => {
          for (const delayMs of sojourns.passed(cursor, storedMs)) {
            if (delayMs < targetMs) {
              aboveSinceMs = Number.POSITIVE_INFINITY;
              dropping = false;
            } else aboveSinceMs = Math.min(aboveSinceMs, nowMs);
          }
        },
      };
    },
  };
}

/** Gradient2 of Netflix's concurrency-limits, with its defaults: the last delay against the average of many. */
export const gradient2: Policy = {
  name: 'gradient2',
  open: () => {
    const sojourns = new Sojourns();
    let limit = 20;
    let longMs = 0;
    let samples = 0;
    let inFlight = 0;
    return {
      admits: (_usedBytes, tasks) => {
        inFlight = tasks;
        return tasks < limit;
      },
      handedOver: (cursor, _depthBytes, nowMs) => sojourns.add(cursor, nowMs),
      stored: (cursor, storedMs) => {
        for (const delayMs of sojourns.passed(cursor, storedMs)) {
          samples++;
          longMs += (delayMs - longMs) * Math.max(1 / samples, 2 / 601);
          if (longMs / delayMs > 2) longMs *= 0.95;
          if (inFlight < limit / 2) continue;
          const gradient = Math.max(0.5, Math.min(1, (1.5 * longMs) / delayMs));
          limit = Math.max(20, Math.min(10_000, 0.8 * limit + 0.2 * (limit * gradient + 4)));
        }
      },
    };
  },
};
