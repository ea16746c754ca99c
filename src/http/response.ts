/**
 * Answers: success bodies, problem details (RFC 9457), and how they are written.
 *
 * Each header line written apart is a call into native code and two string copies, so status line and header lines
 * are one text, the *head*: `200 OK CRLF Content-Type: … CRLF Name: value`. Heads are made from constants and
 * numbers; nothing a client sent gets into them.
 */
import type { ItemError, ParseFailure } from '../parser/parser.ts';
import type { Status } from '../telemetry/counters.ts';
import type { Exchange } from './exchange.ts';

const STATUS_LINES: Readonly<Record<Status, string>> = {
  200: '200 OK',
  202: '202 Accepted',
  400: '400 Bad Request',
  401: '401 Unauthorized',
  404: '404 Not Found',
  405: '405 Method Not Allowed',
  408: '408 Request Timeout',
  413: '413 Content Too Large',
  415: '415 Unsupported Media Type',
  429: '429 Too Many Requests',
  431: '431 Request Header Fields Too Large',
  503: '503 Service Unavailable',
  504: '504 Gateway Timeout',
};

export const headerLine = (name: string, value: string | number): string => `\r\n${name}: ${value}`;

/** Status line and Content-Type: the beginning of every head. */
export const headOf = (status: Status, contentType: string): string =>
  `${STATUS_LINES[status]}${headerLine('Content-Type', contentType)}`;

const PROBLEM_TYPE = 'application/problem+json';

/** Longest list of texts kept for `{"accepted":n,"rejected":0}`. */
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
export function setAccepted(exchange: Exchange, status: 200 | 202, head: string): void {
  exchange.status = status;
  exchange.head = head;
  if (exchange.rejected === 0) exchange.body = acceptedText(exchange.accepted);
}

/** The body of a success with invalid items, made while the parser still holds their errors. */
export function partialBody(accepted: number, rejected: number, errors: readonly ItemError[]): string {
  return JSON.stringify({ accepted, rejected, errors });
}

export interface Problem {
  readonly status: Status;
  /** Last part of the problem type URN: stable, one a reason. */
  readonly code: string;
  readonly detail: string;
  readonly members?: Readonly<Record<string, unknown>>;
  /** Further header lines, each as `CRLF Name: value`. */
  readonly lines?: string;
  readonly close?: boolean;
}

export function setProblem(exchange: Exchange, problem: Problem): void {
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
  exchange.close = close === true;
}

/** A text to be served as it is. */
export interface Page {
  readonly contentType: string;
  readonly body: string;
}

export function setText(exchange: Exchange, status: Status, contentType: string, body: string): void {
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

export interface QueueFacts {
  readonly depth: number;
  readonly capacity: number;
  /** The delay of storage and the one aimed at, where they are the reason. */
  readonly delayMs?: number;
  readonly targetMs?: number;
}

const UNAVAILABLE_DETAILS: Readonly<Record<string, string>> = {
  queue_full: 'Too many requests wait for storage.',
  body_bytes_full: 'Too many bytes of bodies are being received.',
  journal_full: 'The journal has no room: storage is slower than what arrives.',
  disk_failed: 'The disk does not take data.',
  breaker_open: 'Storage has failed too often or too long, and is given time to recover.',
  draining: 'The server is shutting down.',
  limiter_busy: 'The rate limiter did not answer in time.',
  overloaded: 'More arrives than can be stored within the delay aimed at.',
};

/** Longest Retry-After by cause, in seconds: what takes longer to mend is asked for less often. */
const RETRY_MOST_SECONDS: Readonly<Record<string, number>> = { disk_failed: 5, breaker_open: 5 };
const RETRY_MOST_SECONDS_ELSE = 3;

/**
 * The Retry-After line of a 503: whole seconds from 1 on, drawn at random. Clients refused together that came back
 * together would meet the same overload again (M. Brooker, "Exponential Backoff and Jitter", 2015).
 */
export function retryAfterLine(reason: string): string {
  const most = RETRY_MOST_SECONDS[reason] ?? RETRY_MOST_SECONDS_ELSE;
  return headerLine('Retry-After', 1 + Math.floor(Math.random() * most));
}

/** A 503; retrying is safe, nothing was stored. */
export function unavailableProblem(reason: string, queue: QueueFacts, close: boolean): Problem {
  const { depth, capacity, delayMs, targetMs } = queue;
  return {
    status: 503,
    code: reason,
    detail: `Nothing was stored: ${UNAVAILABLE_DETAILS[reason]} Try again later.`,
    members: { reason, queueDepth: depth, queueCapacity: capacity, delayMs, targetDelayMs: targetMs },
    lines: retryAfterLine(reason),
    close,
  };
}

let writing: Exchange | null = null;

/** Runs inside `cork`; static, so that no closure is made per answer. */
function write(): void {
  const { response, head, body, close, headOnly } = writing!;
  if (headOnly && !close) {
    // Given a length to report, uWebSockets.js waits for that body for ever: the header line is written here.
    response.writeStatus(`${head}${headerLine('Content-Length', Buffer.byteLength(body))}`);
    response.endWithoutBody();
  } else {
    response.writeStatus(head);
    response.end(headOnly ? '' : body, close);
  }
}

/** Sends the prepared answer. Does nothing when the client has gone. */
export function send(exchange: Exchange): void {
  if (!exchange.open) return;
  exchange.open = false;
  writing = exchange;
  exchange.response.cork(write);
}
