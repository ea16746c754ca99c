/** Entry point of a generator thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { Generator } from './generator.ts';
import type { FromGenerator, GeneratorData, ToGenerator } from './messages.ts';

const port = parentPort!;
const generator = new Generator(workerData as GeneratorData, (message: FromGenerator) =>
  port.postMessage(message),
);
port.on('message', (message: ToGenerator) => {
  if (message.kind === 'stop') generator.stop();
  else generator.run(message.startMs).then(() => port.close());
});
await generator.connect();
