/**
 * The bounded task queue of one worker: requests whose metrics are in the journal, waiting to be settled.
 *
 * A FIFO in arrays of fixed size. Entries settle in order, since the journal's stored cursor only moves forward. A
 * request that timed out is answered early but keeps its place until its lines are settled, so the queue's depth is
 * the work that storage still owes.
 */
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { difference } from '../base/wrapped.ts';

export class TaskQueue<Task> {
  readonly capacity: number;
  private readonly mask: number;
  private readonly tasks: (Task | null)[];
  private readonly cursors: Int32Array;
  private readonly queuedMs: Float64Array;
  private head = 0;
  private tail = 0;
  /** First entry that has not timed out. */
  private expired = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    const slots = powerOfTwoAtLeast(capacity);
    this.mask = slots - 1;
    this.tasks = new Array<Task | null>(slots).fill(null);
    this.cursors = new Int32Array(slots);
    this.queuedMs = new Float64Array(slots);
  }

  get depth(): number {
    return this.tail - this.head;
  }

  get isFull(): boolean {
    //> 6.2 the queue has a bound
    //: return false;
    return this.tail - this.head >= this.capacity;
    //<
  }

  /** @param cursor journal cursor at which the task is settled  @param nowMs monotonic */
  push(task: Task, cursor: number, nowMs: number): void {
    //> 6.1 to the end
    const slot = this.tail & this.mask;
    this.tasks[slot] = task;
    this.cursors[slot] = cursor;
    this.queuedMs[slot] = nowMs;
    this.tail++;
    //<
  }

  /** Journal cursor of the oldest task. */
  get headCursor(): number {
    return this.cursors[this.head & this.mask]!;
  }

  /** Ms since the oldest task was queued; 0 when there is none. */
  headAgeMs(nowMs: number): number {
    return this.head === this.tail ? 0 : nowMs - this.queuedMs[this.head & this.mask]!;
  }

  /** True when the oldest task's cursor is at or before `storedCursor`. */
  headIsSettled(storedCursor: number): boolean {
    //> 6.3 the cursor has passed it
    //: return this.head !== this.tail && storedCursor === this.headCursor;
    return this.head !== this.tail && difference(storedCursor, this.headCursor) >= 0;
    //<
  }

  shift(): Task {
    const slot = this.head & this.mask;
    const task = this.tasks[slot]!;
    //> 6.1 from the front
    this.tasks[slot] = null;
    this.head++;
    //<
    return task;
  }

  /** The next task that has waited for longer than `timeoutMs`, or null. Returns each task once. */
  nextExpired(nowMs: number, timeoutMs: number): Task | null {
    //> 6.4 late tasks, each once
    //: return null;
    if (this.expired < this.head) this.expired = this.head;
    if (this.expired === this.tail) return null;
    const slot = this.expired & this.mask;
    if (nowMs - this.queuedMs[slot]! < timeoutMs) return null;
    this.expired++;
    return this.tasks[slot]!;
    //<
  }
}
