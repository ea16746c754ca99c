/** A worker of the message pool: answers each message, until it is terminated. */
import { parentPort } from 'node:worker_threads';
import type { TaskAnswer, TaskMessage } from './message-pool.ts';
import { checksum } from './tasks.ts';

parentPort!.on('message', ({ task, body }: TaskMessage) => {
  parentPort!.postMessage({ task, checksum: checksum(body) } satisfies TaskAnswer);
});
