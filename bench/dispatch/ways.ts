/** The ways to have a task done that are compared, behind one interface. */
export const WAYS = ['in place', 'ring', 'message', 'message, moved', 'thread', 'thread, loaded'] as const;
export type Way = (typeof WAYS)[number];

/** Called once for each task, when nothing of it is left anywhere. */
export type Done = (task: number, checksum: number) => void;

export interface HandOver {
  /** Copies the body: the memory that a request arrives in is reused after the callback. */
  submit(task: number, body: Uint8Array): void;
  /** After the last submit of a turn, where wake-ups are collected until then. */
  flush?(): void;
  /** Milliseconds from submit to answer, of all tasks since the last reading; absent if `done` follows the answer at once. */
  readAnswerMs?(): number;
}

export type OpenHandOver = (slotBytes: number, done: Done) => Promise<HandOver>;
