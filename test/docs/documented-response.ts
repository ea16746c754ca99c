/** Compares what `curl -i` printed with the response that a document shows. */
import assert from 'node:assert/strict';

interface Response {
  readonly statusLine: string;
  /** Lower-case name → value. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Headers whose numbers depend on the moment. */
const COUNTING_HEADERS = new Set(['retry-after', 'ratelimit']);
/** Members whose values depend on the moment or the version. */
const VARYING_MEMBERS = new Set(['version', 'wal', 'uptimeSeconds', 'retryAfterSeconds']);

/** @param text one response, or several of which the last counts, as behind `100 Continue` */
function parseResponse(text: string): Response {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  const start = lines.findLastIndex((line) => line.startsWith('HTTP/1.1 '));
  assert.notEqual(start, -1, `no response in:\n${text}`);
  const end = lines.indexOf('', start);
  const headers = lines.slice(start + 1, end === -1 ? undefined : end).map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const body = end === -1 ? '' : lines.slice(end + 1).join('\n');
  return { statusLine: lines[start] ?? '', headers: new Map(headers), body: body.trim() };
}

const withoutNumbers = (value: string): string => value.replaceAll(/\d+/g, 'N');

function comparableBody(body: string): unknown {
  return JSON.parse(body, (key, value) => {
    if (VARYING_MEMBERS.has(key)) return typeof value;
    return key === 'detail' ? withoutNumbers(value as string) : value;
  });
}

/** The document shows some headers, the status line and the whole body. */
export function assertDocumented(printed: string, documented: string): void {
  const actual = parseResponse(printed);
  const expected = parseResponse(documented);
  assert.equal(actual.statusLine, expected.statusLine, printed);
  for (const [name, value] of expected.headers) {
    const found = actual.headers.get(name);
    assert.ok(found !== undefined, `${name} is missing in:\n${printed}`);
    if (COUNTING_HEADERS.has(name)) assert.equal(withoutNumbers(found), withoutNumbers(value), name);
    else assert.equal(found, value, name);
  }
  assert.deepEqual(comparableBody(actual.body), comparableBody(expected.body), printed);
}
