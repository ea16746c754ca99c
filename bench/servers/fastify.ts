/**
 * A competent first version: Fastify, a JSON schema, `@fastify/rate-limit`, and lines appended
 * to a file through a stream. An answer means that the lines were handed to the stream, which is less than
 * MetricsStream's `written`. Usage: `fastify.js FILE`. Prints the same "listening" line as MetricsStream.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { AddressInfo } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';

interface Metric {
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly timestamp?: number;
  readonly tags?: Readonly<Record<string, string>>;
}

interface Batch {
  readonly metrics: readonly Metric[];
}

const BODY_SCHEMA = {
  type: 'object',
  required: ['metrics'],
  properties: {
    metrics: {
      type: 'array',
      minItems: 1,
      maxItems: 10_000,
      items: {
        type: 'object',
        required: ['name', 'value'],
        properties: {
          name: { type: 'string', minLength: 1, maxLength: 255 },
          value: { type: 'number' },
          type: { type: 'string', enum: ['counter', 'gauge', 'histogram', 'summary'], default: 'gauge' },
          timestamp: { type: 'integer' },
          tags: { type: 'object', maxProperties: 64, additionalProperties: { type: 'string' } },
        },
      },
    },
  },
} as const;

const RESPONSE_SCHEMA = { 200: { type: 'object', properties: { accepted: { type: 'integer' } } } } as const;

const file = process.argv[2];
if (file === undefined) throw new Error('usage: fastify.js FILE');
const output = createWriteStream(file, { flags: 'a', highWaterMark: 1 << 20 });
await once(output, 'open');

/** One wait for room shared by all requests; undefined while there is room. */
let drained: Promise<unknown> | undefined;

function append(lines: string): Promise<unknown> | undefined {
  if (output.write(lines)) return undefined;
  drained ??= once(output, 'drain').then(() => {
    drained = undefined;
  });
  return drained;
}

const app = fastify({
  bodyLimit: 8 << 20,
  // A string is not a number, as in MetricsStream's contract.
  ajv: { customOptions: { coerceTypes: false } },
});
// High rather than off, so that its cost is paid.
await app.register(rateLimit, { max: 1e9, timeWindow: '1 second' });

app.post<{ Body: Batch }>(
  '/metrics',
  { schema: { body: BODY_SCHEMA, response: RESPONSE_SCHEMA } },
  async (request) => {
    const { metrics } = request.body;
    const receivedAt = Date.now();
    let lines = '';
    for (const { timestamp = receivedAt, name, value, type, tags } of metrics) {
      lines += `${JSON.stringify({ timestamp, name, value, type, tags })}\n`;
    }
    await append(lines);
    return { accepted: metrics.length };
  },
);

await app.listen({ host: '127.0.0.1', port: 0 });
const { port } = app.server.address() as AddressInfo;
console.log(JSON.stringify({ msg: 'listening', port, pid: process.pid }));

process.once('SIGTERM', async () => {
  app.server.closeAllConnections();
  await app.close();
  output.end();
  await once(output, 'finish');
  process.exit(0);
});
