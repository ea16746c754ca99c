/**
 * Responses: success bodies, problem details (RFC 9457), and how they are written.
 *
 * Each header line that is written apart costs a call into native code and two string copies. So the status line and
 * the header lines are one text, the *head*: `200 OK CRLF Content-Type: … CRLF Name: value`. Heads consist of
 * constants and numbers; nothing that a client sent gets into them.
 */
import type { QueueFacts } from '../admission/gate.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import type { ItemError, ParseFailure } from '../parser/parser.ts';
import { type Status, WORKER } from '../telemetry/counters.ts';
import { type CountedReason, UNAVAILABLE, type UnavailableReason } from '../telemetry/unavailable.ts';
import type { Exchange } from './exchange.ts';
import type { HttpResponse } from './uws.ts';

const STATUS_LINES: Readonly<Record<Status, string>> = {
  200: '200 OK',
  202: '202 Accepted',
  400: '400 Bad Request',
  401: '401 Unauthorized',
  404: '404 Not Found',
  405: '405 Method Not Allowed',
  408: '408 Request Timeout',
  409: '409 Conflict',
  413: '413 Content Too Large',
  415: '415 Unsupported Media Type',
  422: '422 Unprocessable Content',
  429: '429 Too Many Requests',
  431: '431 Request Header Fields Too Large',
  503: '503 Service Unavailable',
  504: '504 Gateway Timeout',
};

/** The `Keep-Alive` line of this thread's responses; '' until `announceKeepAlive`. */
let keepAliveLine = '';

/**
 * Tells clients how long an idle connection stays open. The hint has to be below the real time, so that a client that
 * follows it never sends into a connection that is about to close (draft-thomson-hybi-http-timeout, section 2.1).
 * Call it before the thread makes its first head.
 */
export function announceKeepAlive(keepAliveMs: number): void {
  keepAliveLine = headerLine('Keep-Alive', `timeout=${Math.floor(keepAliveMs / MS_PER_SECOND)}`);
}

const CRLF = '\r\n';

export const headerLine = (name: string, value: string | number): string => `\r\n${name}: ${value}`;

/** Status line, Content-Type and Keep-Alive, with which every head begins. */
export const headOf = (status: Status, contentType: string): string =>
  `${STATUS_LINES[status]}${headerLine('Content-Type', contentType)}${keepAliveLine}`;

/** The head of a response that closes the connection. */
const closingHead = (head: string): string => head.replace(keepAliveLine, '');

const PROBLEM_TYPE = 'application/problem+json';

/** Number of texts `{"accepted":n,"rejected":0}` that are kept. */
const TEXTS_MAX = 10_001;
const acceptedTexts: string[] = [];

function acceptedText(accepted: number): string {
  if (accepted >= TEXTS_MAX) return `{"accepted":${accepted},"rejected":0}`;
  const text = acceptedTexts[accepted];
  if (text !== undefined) return text;
  acceptedTexts[accepted] = `{"accepted":${accepted},"rejected":0}`;
  return acceptedTexts[accepted]!;
}

/** Prepares a 200 or 202; `head` is as in `Exchange.head`. */
export function prepareAccepted(exchange: Exchange, status: 200 | 202, accepted: number, head: string): void {
  exchange.status = status;
  exchange.head = head;
  if (exchange.rejected === 0) exchange.body = acceptedText(accepted);
}

/** Body of a success with invalid items. Call it while the parser still holds their errors. */
export function partialBody(accepted: number, rejected: number, errors: readonly ItemError[]): string {
  return JSON.stringify({ accepted, rejected, errors });
}

export interface Problem {
  readonly status: Status;
  /** Last part of the problem type URN. Stable; clients may compare it. */
  readonly code: string;
  readonly detail: string;
  readonly members?: Readonly<Record<string, unknown>>;
  /** Further header lines, each as `CRLF Name: value`. */
  readonly lines?: string;
  readonly close?: boolean;
}

export function prepareProblem(exchange: Exchange, problem: Problem): void {
  const { status, code, detail, members, lines, close } = problem;
  exchange.status = status;
  exchange.head = `${headOf(status, PROBLEM_TYPE)}${lines ?? ''}`;
  exchange.body = JSON.stringify({
    type: `urn:metricsstream:problem:${code}`,
    title: STATUS_LINES[status].slice(4),
    status,
    detail,
    ...members,
  });
  exchange.close ||= close === true;
}

/** A complete text with its type. */
export interface Page {
  readonly contentType: string;
  readonly body: string;
}

export function prepareText(exchange: Exchange, status: Status, contentType: string, body: string): void {
  exchange.status = status;
  exchange.head = headOf(status, contentType);
  exchange.body = body;
}

export function malformedProblem(failure: ParseFailure): Problem {
  const { offset, field, reason } = failure;
  const where = field === '' ? `at byte ${offset}` : `at byte ${offset}, in ${field}`;
  return {
    status: 400,
    code: 'malformed',
    detail: `Nothing was stored: the body is not valid: ${reason} ${where}.`,
    members: { offset, field, reason },
  };
}

export function itemsProblem(
  code: 'no_valid_item' | 'strict',
  rejected: number,
  errors: readonly ItemError[],
): Problem {
  const first = errors[0];
  const cause =
    code === 'strict' ? 'strict handling was asked for and an item is invalid' : 'no item is valid';
  return {
    status: 400,
    code,
    detail: `Nothing was stored: ${cause}.`,
    members: {
      accepted: 0,
      rejected,
      ...(first && { offset: first.offset, field: first.field, reason: first.reason }),
      errors,
    },
  };
}

/**
 * The Retry-After line of a 503: whole seconds from 1 on, drawn at random. Clients that are refused together and come
 * back together would meet the same overload again (M. Brooker, "Exponential Backoff and Jitter", 2015).
 */
export function retryAfterLine(reason: UnavailableReason): string {
  const { retryMaxSeconds } = UNAVAILABLE[reason];
  return headerLine('Retry-After', 1 + Math.floor(Math.random() * retryMaxSeconds));
}

/** Counts and prepares a 503. Nothing was stored, so a retry is safe. */
export function prepareUnavailable(
  exchange: Exchange,
  counters: Float64Array,
  reason: CountedReason,
  queue: QueueFacts,
  close: boolean,
): void {
  const { depth, capacity, delayMs, targetMs } = queue;
  counters[WORKER[`unavailable_${reason}`]]! += 1;
  prepareProblem(exchange, {
    status: 503,
    code: reason,
    detail: `Nothing was stored: ${UNAVAILABLE[reason].detail} Try again later.`,
    members: { reason, queueDepth: depth, queueCapacity: capacity, delayMs, targetDelayMs: targetMs },
    lines: retryAfterLine(reason),
    close,
  });
}

/**
 * A whole response as one status text, to which uWebSockets.js adds CRLF. The client sees a complete response, while
 * uWebSockets.js waits for its end and goes on to pass the rest of the request's body on. See body-drain.ts.
 */
function earlyResponse(head: string, body: string): string {
  const lines =
    closingHead(head) +
    headerLine('Date', new Date().toUTCString()) +
    headerLine('Connection', 'close') +
    headerLine('Content-Length', body === '' ? 0 : Buffer.byteLength(body) + CRLF.length);
  return body === '' ? `${lines}${CRLF}` : `${lines}${CRLF}${CRLF}${body}`;
}

/**
 * The bytes of a text that is sent again and again. uWebSockets.js copies a string twice, character by character, and
 * allocates memory for one copy; it reads bytes where they are. A text that differs from the one before it stays a
 * string, because encoding it here would cost as much.
 */
class RepeatedText {
  private text = '';
  private bytes: Uint8Array | null = null;

  encoded(text: string): string | Uint8Array {
    if (text !== this.text) {
      this.text = text;
      this.bytes = null;
      return text;
    }
    // A whole buffer: a part of Node's pool would keep the pool alive.
    this.bytes ??= new Uint8Array(Buffer.from(text));
    return this.bytes;
  }
}

const lastHead = new RepeatedText();
const lastBody = new RepeatedText();

/** Status line and header lines of the prepared response. */
export const headTextOf = ({ close, head }: Exchange): string | Uint8Array =>
  close ? closingHead(head) : lastHead.encoded(head);

/** The body of the prepared response. */
export const bodyOf = ({ body }: Exchange): string | Uint8Array => lastBody.encoded(body);

/**
 * Tells the client to send its body, where uWebSockets.js has not. Written as a status of its own, to which
 * uWebSockets.js adds CRLF. Not for HEAD.
 */
export function writeContinue(exchange: Exchange): void {
  exchange.continued = true;
  exchange.response.writeStatus(`100 Continue${CRLF}`);
}

/** After a 100 uWebSockets.js ignores a second status: it gets the status line as the beginning of a header line. */
function writeSecondHead(response: HttpResponse, head: string): void {
  const colon = head.indexOf(': ');
  response.writeHeader(`HTTP/1.1 ${head.slice(0, colon)}`, head.slice(colon + 2));
}

let writing: Exchange | null = null;

/** Runs inside `cork`; static, so that no response makes a closure. */
function writeCorked(): void {
  const { response, head, body, close, headOnly, streaming, cutsBody, continued } = writing!;
  if (continued) {
    const isEarly = streaming && !cutsBody;
    writeSecondHead(response, isEarly ? earlyResponse(head, body) : close ? closingHead(head) : head);
    if (!isEarly) response.end(body, close);
  } else if (streaming && !cutsBody) response.writeStatus(earlyResponse(head, headOnly ? '' : body));
  else if (headOnly && !close) {
    // If uWebSockets.js gets a length to report, it waits for that body for ever. So write the header line here.
    response.writeStatus(`${head}${headerLine('Content-Length', Buffer.byteLength(body))}`);
    response.endWithoutBody();
  } else {
    response.writeStatus(headTextOf(writing!));
    response.end(headOnly ? '' : bodyOf(writing!), close);
  }
}

/** Writes the prepared response of an open exchange. */
export function write(exchange: Exchange): void {
  exchange.open = false;
  writing = exchange;
  exchange.response.cork(writeCorked);
}
