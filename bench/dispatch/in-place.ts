/** Done by the thread that has the body: a copy into its input, as the parser's, and a function call. */
import { checksum } from './tasks.ts';
import type { Done, HandOver, OpenHandOver } from './ways.ts';

class InPlace implements HandOver {
  private readonly input: Uint8Array;
  private readonly done: Done;

  constructor(slotBytes: number, done: Done) {
    this.input = new Uint8Array(slotBytes);
    this.done = done;
  }

  submit(task: number, body: Uint8Array): void {
    this.input.set(body);
    this.done(task, checksum(this.input.subarray(0, body.length)));
  }

  flush(): void {}

  readAnswerMs(): number {
    return 0;
  }
}

export const openHandOver = (async (slotBytes, done) => new InPlace(slotBytes, done)) satisfies OpenHandOver;
