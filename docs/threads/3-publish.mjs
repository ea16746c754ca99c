// A mailbox for one value. The order of the stores is the message: first the value, then "it is there".
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const VALUE = 0; // plain word
const STATE = 1; // EMPTY or FULL: the only word on which the two threads synchronise
const EMPTY = 0;
const FULL = 1;
const MESSAGES = 5;

const mailbox = isMainThread ? new Int32Array(new SharedArrayBuffer(8)) : workerData;

function waitUntil(state) {
  const other = state === FULL ? EMPTY : FULL;
  // Sleeps only if STATE still holds `other`, so no change between a look and the sleep is missed.
  while (Atomics.load(mailbox, STATE) === other) Atomics.wait(mailbox, STATE, other);
}

function set(state) {
  Atomics.store(mailbox, STATE, state); // publishes every plain store before it
  Atomics.notify(mailbox, STATE);
}

if (isMainThread) {
  new Worker(new URL(import.meta.url), { workerData: mailbox });
  let sum = 0;
  for (let i = 0; i < MESSAGES; i++) {
    waitUntil(FULL);
    sum += mailbox[VALUE];
    set(EMPTY);
  }
  console.log(`received ${MESSAGES} values, their sum is ${sum}`);
} else {
  for (let i = 1; i <= MESSAGES; i++) {
    waitUntil(EMPTY);
    mailbox[VALUE] = i * 10;
    set(FULL);
  }
}
