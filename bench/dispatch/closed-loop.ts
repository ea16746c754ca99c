/** The closed loop that keeps a number of tasks in progress and checks every answer. */
import assert from 'node:assert/strict';
import type { Bodies } from './tasks.ts';
import type { HandOver, OpenHandOver, Way } from './ways.ts';

/** Loads one way and no other, so that no call site has seen two. */
async function loadWay(way: Way): Promise<OpenHandOver> {
  switch (way) {
    case 'in place':
      return (await import('./in-place.ts')).openHandOver;
    case 'ring':
      return (await import('./ring-pool.ts')).openHandOver;
    case 'message':
      return (await import('./message-pool.ts')).openCopying;
    case 'message, moved':
      return (await import('./message-pool.ts')).openMoving;
    case 'thread':
      return (await import('./thread-per-task.ts')).openEmpty;
    case 'thread, loaded':
      return (await import('./thread-per-task.ts')).openLoaded;
  }
}

export class ClosedLoop {
  private readonly bodies: Bodies;
  private readonly handOver: HandOver;
  private tasks = 0;
  private submitted = 0;
  private finished = 0;
  private depth = 0;
  private refilling = false;
  private allDone: () => void = () => {};

  private constructor(bodies: Bodies, handOver: HandOver) {
    this.bodies = bodies;
    this.handOver = handOver;
  }

  static async open(way: Way, bodyBytes: number, bodies: Bodies): Promise<ClosedLoop> {
    const openHandOver = await loadWay(way);
    let loop: ClosedLoop | undefined;
    const handOver = await openHandOver(bodyBytes, (task, sum) => loop!.done(task, sum));
    loop = new ClosedLoop(bodies, handOver);
    return loop;
  }

  /** Has so many tasks done, `depth` of them at once; resolves when all are answered and gone. */
  run(tasks: number, depth: number): Promise<void> {
    assert.equal(this.finished, this.submitted, 'one run at a time');
    this.depth = depth;
    this.tasks = this.submitted + tasks;
    return new Promise((resolve) => {
      this.allDone = resolve;
      this.refill();
    });
  }

  readAnswerMs(): number {
    return this.handOver.readAnswerMs?.() ?? 0;
  }

  private done(task: number, sum: number): void {
    // Not assert.equal: it would cost more than some of what is timed.
    if (sum !== this.bodies.checksum(task)) throw new Error(`task ${task} was answered with ${sum}`);
    this.finished++;
    if (this.finished === this.tasks) this.allDone();
    else this.refill();
  }

  private refill(): void {
    // A task done in place is done before its submit returns: the loop below goes on by itself.
    if (this.refilling) return;
    this.refilling = true;
    while (this.submitted < this.tasks && this.submitted - this.finished < this.depth) {
      const task = this.submitted++;
      this.handOver.submit(task, this.bodies.body(task));
    }
    this.refilling = false;
    this.handOver.flush?.();
  }
}
