/**
 * The server that a competent developer would write for speed: one thread, uWebSockets.js, `JSON.parse`, and group
 * commit. Requests gather while a commit is in flight; one `write` and one `fdatasync` on libuv's thread pool cover all
 * of them, and then they are answered. So an answer means what `--ack synced` means.
 *
 * It checks the fields of each metric, and nothing else of MetricsStream's contract: no limit, no bound on what waits,
 * no metrics, no seals. Usage: `group-commit.js FILE`. Prints the same "listening" line as MetricsStream.
 */
import fs from 'node:fs';
import { EXCLUSIVE_PORT, type HttpResponse, loadUws } from '../../src/http/uws.ts';

const MAX_METRICS = 10_000;
const MAX_NAME_LENGTH = 255;
const TYPES = new Set(['gauge', 'counter', 'histogram', 'summary']);

const path = process.argv[2];
if (path === undefined) throw new Error('usage: group-commit.js FILE');
const file = fs.openSync(path, 'a');
const { module } = loadUws();

/** A request whose lines wait for their commit. */
interface Waiting {
  readonly response: HttpResponse;
  accepted: number;
  aborted: boolean;
}

let gatheredLines = '';
let gathered: Waiting[] = [];
let isCommitting = false;
let isStopping = false;

function commit(): void {
  if (isCommitting || gathered.length === 0) return;
  isCommitting = true;
  const requests = gathered;
  const bytes = Buffer.from(gatheredLines, 'utf8');
  gathered = [];
  gatheredLines = '';
  writeAll(bytes, 0, () => {
    fs.fdatasync(file, (error) => {
      if (error) throw error;
      isCommitting = false;
      for (const request of requests) answer(request);
      if (gathered.length > 0) commit();
      else if (isStopping) process.exit(0);
    });
  });
}

function writeAll(bytes: Buffer, from: number, done: () => void): void {
  fs.write(file, bytes, from, bytes.length - from, null, (error, written) => {
    // Whoever waits gets no answer: the process ends.
    if (error) throw error;
    if (from + written < bytes.length) writeAll(bytes, from + written, done);
    else done();
  });
}

function answer({ response, accepted, aborted }: Waiting): void {
  if (aborted) return;
  response.cork(() => {
    response.writeStatus('200 OK\r\nContent-Type: application/json').end(`{"accepted":${accepted}}`);
  });
}

/** The lines of a body. @throws for anything but a valid batch */
function linesOf(body: string): { lines: string; count: number } {
  const { metrics } = JSON.parse(body) as { metrics: unknown };
  if (!Array.isArray(metrics) || metrics.length === 0 || metrics.length > MAX_METRICS) {
    throw new RangeError('metrics has to be an array of 1 to 10,000 items');
  }
  const receivedAt = Date.now();
  let lines = '';
  for (const metric of metrics) lines += lineOf(metric, receivedAt);
  return { lines, count: metrics.length };
}

function lineOf(metric: Readonly<Record<string, unknown>>, receivedAt: number): string {
  const { name, value, type = 'gauge', timestamp = receivedAt, tags } = metric;
  if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH) throw new RangeError('name');
  if (typeof value !== 'number') throw new RangeError('value');
  if (typeof type !== 'string' || !TYPES.has(type)) throw new RangeError('type');
  if (!Number.isInteger(timestamp)) throw new RangeError('timestamp');
  if (tags !== undefined && !isTags(tags)) throw new RangeError('tags');
  return `${JSON.stringify({ timestamp, name, value, type, tags })}\n`;
}

function isTags(tags: unknown): boolean {
  if (typeof tags !== 'object' || tags === null) return false;
  return Object.values(tags).every((text) => typeof text === 'string');
}

function serve(response: HttpResponse, body: Buffer): void {
  let lines: string;
  let accepted: number;
  try {
    ({ lines, count: accepted } = linesOf(body.toString('utf8')));
  } catch {
    response.cork(() => response.writeStatus('400 Bad Request').end());
    return;
  }
  const waiting: Waiting = { response, accepted, aborted: false };
  response.onAborted(() => {
    waiting.aborted = true;
  });
  gatheredLines += lines;
  gathered.push(waiting);
  // Everything that arrives in this turn of the event loop is one commit.
  setImmediate(commit);
}

module
  .App()
  .post('/metrics', (response) => {
    let parts: Buffer | null = null;
    response.onAborted(() => {});
    response.onData((chunk, isLast) => {
      const bytes = Buffer.from(chunk);
      if (isLast) serve(response, parts === null ? bytes : Buffer.concat([parts, bytes]));
      // The chunk is detached after this call, so this has to be a copy.
      else parts = parts === null ? Buffer.from(bytes) : Buffer.concat([parts, bytes]);
    });
  })
  .listen('127.0.0.1', 0, EXCLUSIVE_PORT, (socket) => {
    if (!socket) throw new Error('cannot listen on 127.0.0.1');
    const port = module.us_socket_local_port(socket);
    console.log(JSON.stringify({ msg: 'listening', port, pid: process.pid }));
  });

process.once('SIGTERM', () => {
  isStopping = true;
  if (!isCommitting && gathered.length === 0) process.exit(0);
});
