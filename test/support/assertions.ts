import assert from 'node:assert/strict';
import type { HttpResponse } from './raw-http.ts';

/** How long a test waits for an event that must come. Stalled disks and busy machines delay it by many seconds. */
export const EVENT_TIMEOUT_MS = 180_000;

/** Checks that a response is a problem document (RFC 9457) of this status and returns it. */
export function assertProblem(response: HttpResponse, status: number): Record<string, unknown> {
  assert.equal(response.status, status, response.body.toString());
  assert.match(response.header('content-type') ?? '', /^application\/problem\+json/);
  const problem = response.json();
  assert.equal(problem.status, status);
  for (const member of ['type', 'title', 'detail']) {
    assert.equal(typeof problem[member], 'string', `${member} of ${response.body}`);
    assert.notEqual(problem[member], '');
  }
  return problem;
}

/** Checks a Retry-After of whole seconds, at least one, and returns it. */
export function assertRetryAfter(response: HttpResponse): number {
  const text = response.header('retry-after') ?? '';
  assert.match(text, /^[1-9]\d*$/, 'Retry-After');
  return Number(text);
}

/** Checks that everything sent was stored. */
export function assertAccepted(response: HttpResponse, accepted: number, status = 200): void {
  assert.equal(response.status, status, response.body.toString());
  assert.deepEqual(response.json(), { accepted, rejected: 0 });
}

/** Waits for a condition that nothing announces. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = EVENT_TIMEOUT_MS,
) {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) assert.fail(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
