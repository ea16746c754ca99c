/** Requests with an Idempotency-Key, and what a repeated one has to get. */
import assert from 'node:assert/strict';
import { type HttpResponse, type PostOptions, post } from './raw-http.ts';
import type { ServerProcess } from './server-process.ts';
import { countNames, readStored } from './stored.ts';

export function storedCount(dataDir: string, name: string): number {
  return countNames(readStored(dataDir)).get(name) ?? 0;
}

export function sendKeyed(
  { port }: ServerProcess,
  key: string,
  body: string | Uint8Array,
  headers: PostOptions['headers'] = {},
): Promise<HttpResponse> {
  return post(port, body, { headers: { 'Idempotency-Key': key, ...headers } });
}

/** Checks that a response repeats an earlier one. */
export function assertReplay(response: HttpResponse, first: HttpResponse): void {
  assert.equal(response.header('idempotency-replayed'), 'true', response.body.toString());
  assert.equal(first.header('idempotency-replayed'), undefined);
  assert.equal(response.status, first.status);
  assert.equal(response.body.toString(), first.body.toString());
}
