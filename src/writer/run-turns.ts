/** The loop of a writer thread. */
import type { WriterParts } from './writer.ts';

/** Sleeps on the bell between turns until `control.writerShouldStop`, then makes a last turn. */
export async function runTurns(
  { bell, control }: WriterParts,
  driver: {
    /** True when there may be more to do at once. */
    turn(): boolean;
    /** True when callbacks wait: on this thread they run only between turns. */
    needsEventLoop(): boolean;
    idleMs(): number;
  },
): Promise<void> {
  for (;;) {
    const seen = bell.seen();
    const shouldStop = control.writerShouldStop;
    const worked = driver.turn();
    if (driver.needsEventLoop()) await nextLoopTurn();
    if (worked) continue;
    if (shouldStop) return;
    bell.sleep(seen, driver.idleMs());
  }
}

export function nextLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
