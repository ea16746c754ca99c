/**
 * Requests that a server must refuse by RFC 9112, mostly because a proxy in front may find another end of the message
 * (request smuggling). `{name}` in a body is replaced by a name that must never be stored.
 */

export interface FramingAttack {
  readonly what: string;
  /** The bytes to send. */
  bytes(name: string): string;
  /** The client then closes its sending side instead of waiting. */
  readonly thenFinish?: boolean;
}

function body(name: string): string {
  return `{"metrics":[{"name":"${name}","value":1}]}`;
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

/** A request from its header lines (Host and Content-Type given) and its body. */
function message(headers: readonly string[], payload: string): string {
  const lines = ['POST /metrics HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', ...headers];
  return `${lines.join('\r\n')}\r\n\r\n${payload}`;
}

/** A Content-Length header given as text instead of the true length. */
function length(what: string, text: (bytes: number) => string): FramingAttack {
  return {
    what: `Content-Length ${what}`,
    bytes: (name) => message([`Content-Length:${text(body(name).length)}`], body(name)),
  };
}

function headers(
  what: string,
  lines: (bytes: number) => readonly string[],
  payload: (name: string) => string = body,
): FramingAttack {
  return { what, bytes: (name) => message(lines(body(name).length), payload(name)) };
}

function chunked(what: string, payload: (name: string) => string, thenFinish = false): FramingAttack {
  return { what, bytes: (name) => message(['Transfer-Encoding: chunked'], payload(name)), thenFinish };
}

/** A request as given, with `{length}` replaced by the correct Content-Length. */
function raw(what: string, head: string): FramingAttack {
  return {
    what,
    bytes: (name) => head.replaceAll('{length}', String(body(name).length)) + body(name),
  };
}

/** A whole second request, hidden at one of the two ends that the first request can be read to have. */
function smuggled(name: string): string {
  return message([`Content-Length: ${body(name).length}`], body(name));
}

export const MUST_REJECT: readonly FramingAttack[] = [
  headers('the same Content-Length twice', (n) => [`Content-Length: ${n}`, `Content-Length: ${n}`]),
  headers('two Content-Length, the longer first', (n) => [
    `Content-Length: ${n + 5}`,
    `Content-Length: ${n}`,
  ]),
  headers('two Content-Length, the shorter first', (n) => [
    `Content-Length: ${n}`,
    `Content-Length: ${n + 5}`,
  ]),
  headers(
    'two Content-Length, a request hidden between them',
    () => ['Content-Length: 2', 'Content-Length: 4096'],
    (name) => `{}${smuggled(name)}`,
  ),
  length('as a list of equal values', (n) => ` ${n}, ${n}`),
  length('as a list of different values', (n) => ` ${n}, ${n + 1}`),
  length('below zero', () => ' -1'),
  length('with a plus sign', (n) => ` +${n}`),
  length('in hexadecimal', (n) => ` 0x${n.toString(16)}`),
  length('with a space inside', (n) => ` ${String(n)[0]} ${String(n).slice(1)}`),
  length('of 20 digits', () => ' 99999999999999999999'),
  length('with a letter behind it', (n) => ` ${n}a`),
  length('with a fraction', (n) => ` ${n}.0`),
  headers(
    'Transfer-Encoding before Content-Length',
    (n) => ['Transfer-Encoding: chunked', `Content-Length: ${n}`],
    (name) => `${chunk(body(name))}0\r\n\r\n`,
  ),
  headers(
    'Content-Length before Transfer-Encoding, a request hidden behind the last chunk',
    () => ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    (name) => `0\r\n\r\n${smuggled(name)}`,
  ),
  headers(
    'Transfer-Encoding twice',
    () => ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
    (name) => `${chunk(body(name))}0\r\n\r\n`,
  ),
  headers('Transfer-Encoding: identity with Content-Length', (n) => [
    'Transfer-Encoding: identity',
    `Content-Length: ${n}`,
  ]),
  headers(
    'an unknown Transfer-Encoding',
    () => ['Transfer-Encoding: xchunked'],
    (name) => `${chunk(body(name))}0\r\n\r\n`,
  ),
  headers(
    'chunked that is not the last coding',
    () => ['Transfer-Encoding: chunked, gzip'],
    (name) => `${chunk(body(name))}0\r\n\r\n`,
  ),
  headers(
    'a coding before chunked',
    () => ['Transfer-Encoding: gzip, chunked'],
    (name) => `${chunk(body(name))}0\r\n\r\n`,
  ),
  headers('a space before the colon of Content-Length', (n) => [`Content-Length : ${n}`]),
  headers('a space before the colon of Transfer-Encoding, with Content-Length', (n) => [
    'Transfer-Encoding : chunked',
    `Content-Length: ${n}`,
  ]),
  headers('Host twice, equal', (n) => ['Host: localhost', `Content-Length: ${n}`]),
  headers('Host twice, different', (n) => ['Host: elsewhere', `Content-Length: ${n}`]),
  raw('no Host', 'POST /metrics HTTP/1.1\r\nContent-Length: {length}\r\n\r\n'),
  headers('a folded header', (n) => ['X-Folded: a', '  b', `Content-Length: ${n}`]),
  headers('a folded Content-Length', (n) => ['Content-Length:', ` ${n}`]),
  headers('a header without a colon', (n) => ['nonsense', `Content-Length: ${n}`]),
  headers('a header without a name', (n) => [': value', `Content-Length: ${n}`]),
  headers('a header name with a control character', (n) => ['X\u0001Y: a', `Content-Length: ${n}`]),
  headers('NUL in a header value', (n) => ['X-Nul: a\u0000b', `Content-Length: ${n}`]),
  headers('a bare CR in a header value', (n) => ['X-Cr: a\rb', `Content-Length: ${n}`]),
  raw('bare LF as line ends', 'POST /metrics HTTP/1.1\nHost: localhost\nContent-Length: {length}\n\n'),
  raw(
    'an unknown HTTP version',
    'POST /metrics HTTP/9.9\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n',
  ),
  raw('no HTTP version', 'POST /metrics\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n'),
  raw(
    'a space in the target',
    'POST /metrics x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n',
  ),
  chunked('a chunk size that is not a number', (name) => `zz\r\n${body(name)}\r\n0\r\n\r\n`),
  chunked('a chunk size below zero', (name) => `-5\r\n${body(name)}\r\n0\r\n\r\n`),
  chunked(
    'a chunk size with 0x',
    (name) => `0x${body(name).length.toString(16)}\r\n${body(name)}\r\n0\r\n\r\n`,
  ),
  chunked('a chunk size of 17 digits', (name) => `fffffffffffffffff\r\n${body(name)}\r\n0\r\n\r\n`),
  chunked('a chunk without a size', (name) => `\r\n${body(name)}\r\n0\r\n\r\n`),
  chunked('no last chunk', (name) => chunk(body(name)), true),
  {
    what: 'a body shorter than its Content-Length',
    bytes: (name) => message([`Content-Length: ${body(name).length + 1}`], body(name)),
    thenFinish: true,
  },
];

/**
 * Requests that uWebSockets.js accepts although it should not. It decides before JavaScript sees the request. In
 * neither can two readers disagree on the end of the message.
 */
export const KNOWN_LENIENT: readonly FramingAttack[] = [
  chunked('LF-only chunk lines', (name) => `${body(name).length.toString(16)}\n${body(name)}\n0\n\n`),
  chunked('no CRLF behind a chunk', (name) => `${body(name).length.toString(16)}\r\n${body(name)}0\r\n\r\n`),
];
