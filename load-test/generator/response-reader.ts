/**
 * Frames HTTP/1.1 answers (RFC 9112) as they arrive: split anywhere, or several in one piece.
 *
 * Reads only what a load generator needs: the status, whether the connection stays open, Retry-After, and the first
 * bytes of the body. Interim answers (1xx) are read over. Content-Length, chunked, no body (204, 304) and bodies
 * that end with the connection are understood; what is not HTTP/1.1 is an outcome, not an exception.
 */

const HEAD_MAX_BYTES = 64 << 10;
/** Enough of the body for `{"accepted":n`. */
const BODY_KEPT_BYTES = 64;
const LINE_MAX_BYTES = 4096;
const ACCEPTED = Buffer.from('{"accepted":');
const DIGIT_0 = 0x30;
const HEAD_END = Buffer.from('\r\n\r\n');

const LF = 0x0a;

const STATE_HEAD = 0;
const STATE_LENGTH = 1;
const STATE_CHUNK_SIZE = 2;
const STATE_CHUNK_DATA = 3;
const STATE_CHUNK_END = 4;
const STATE_TRAILER = 5;
const STATE_UNTIL_CLOSE = 6;

const READ_MORE = 0;
export const READ_ANSWER = 1;
export const READ_MALFORMED = 2;
export type ReadResult = typeof READ_MORE | typeof READ_ANSWER | typeof READ_MALFORMED;
/** Reading goes on at `next`; not among the results that callers see. */
const GO_ON = 3;

export class ResponseReader {
  /** Of the answer that READ_ANSWER reported. */
  status = 0;
  /** The connection ends with this answer. */
  isLast = false;
  hasRetryAfter = false;
  /** What Retry-After asks for in seconds; 0 without it. */
  retryAfterSeconds = 0;
  /** The answer repeats an earlier one, because the server knew the request's key. */
  isReplay = false;
  /** Why, after READ_MALFORMED. */
  problem = '';
  /** Where in the piece given to `read` the answer ended. */
  next = 0;

  private state: number = STATE_HEAD;
  /** Bytes of the body, or of the chunk, still to come. */
  private left = 0;
  private held: Buffer | null = null;
  private line = '';
  private readonly body = Buffer.alloc(BODY_KEPT_BYTES);
  private bodyBytes = 0;

  /** Whether it stands between answers. */
  get isBetween(): boolean {
    return this.state === STATE_HEAD && this.held === null;
  }

  /** The number in a body that begins with `{"accepted":`; -1 in any other. */
  accepted(): number {
    const { body, bodyBytes } = this;
    if (bodyBytes <= ACCEPTED.length || body.compare(ACCEPTED, 0, ACCEPTED.length, 0, ACCEPTED.length) !== 0)
      return -1;
    let number = 0;
    for (let at = ACCEPTED.length; at < bodyBytes; at++) {
      const digit = body[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) return at > ACCEPTED.length ? number : -1;
      number = number * 10 + digit;
    }
    return -1;
  }

  /** Forgets everything: a new connection begins. */
  reset(): void {
    this.state = STATE_HEAD;
    this.held = null;
    this.line = '';
  }

  /** Reads `bytes[from, end)` up to the end of an answer; when there is one, `next` says where to go on. */
  read(bytes: Buffer, from: number, end: number): ReadResult {
    let at = from;
    for (;;) {
      let result: ReadResult | typeof GO_ON;
      if (this.state === STATE_HEAD) result = this.readHead(bytes, at, end);
      else if (this.state === STATE_LENGTH) result = this.readLength(bytes, at, end);
      else if (this.state === STATE_UNTIL_CLOSE) return this.keepAll(bytes, at, end);
      else result = this.readChunked(bytes, at, end);
      if (result !== GO_ON) return result;
      at = this.next;
    }
  }

  /** The connection was closed in good order: whether that completes an answer. */
  close(): boolean {
    const completes = this.state === STATE_UNTIL_CLOSE;
    this.reset();
    return completes;
  }

  private readHead(bytes: Buffer, from: number, end: number): ReadResult | typeof GO_ON {
    let text = bytes;
    let start = from;
    let stop = end;
    const heldBytes = this.held?.length ?? 0;
    if (this.held !== null) {
      text = Buffer.concat([this.held, bytes.subarray(from, end)]);
      start = 0;
      stop = text.length;
    }
    if (start === stop) return READ_MORE;
    const headEnd = text.subarray(start, stop).indexOf(HEAD_END, Math.max(0, heldBytes - 3));
    if (headEnd < 0) {
      if (stop - start > HEAD_MAX_BYTES) return this.malformed('a head without an end');
      if (!looksLikeStatusLine(text, start, stop)) return this.malformed('no status line');
      this.held = Buffer.from(text.subarray(start, stop));
      return READ_MORE;
    }
    this.held = null;
    this.next = from + headEnd + HEAD_END.length - heldBytes;
    return this.takeHead(text.toString('latin1', start, start + headEnd));
  }

  private takeHead(head: string): ReadResult | typeof GO_ON {
    const lines = head.split('\r\n');
    const match = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n]*)?$/.exec(lines[0]!);
    if (match === null) return this.malformed('no status line');
    const status = Number(match[2]);
    let length = -1;
    let isChunked = false;
    let isLast = match[1] === '0';
    this.hasRetryAfter = false;
    this.retryAfterSeconds = 0;
    this.isReplay = false;
    for (let k = 1; k < lines.length; k++) {
      const line = lines[k]!;
      const colon = line.indexOf(':');
      if (colon <= 0 || line.includes('\n')) return this.malformed('no header field');
      const value = line.slice(colon + 1).trim();
      switch (line.slice(0, colon).toLowerCase()) {
        case 'content-length': {
          if (!/^\d{1,15}$/.test(value)) return this.malformed('Content-Length is no number');
          if (length >= 0 && length !== Number(value)) return this.malformed('two Content-Lengths');
          length = Number(value);
          break;
        }
        case 'transfer-encoding':
          if (value.toLowerCase() !== 'chunked') return this.malformed(`Transfer-Encoding ${value}`);
          isChunked = true;
          break;
        case 'connection':
          if (/(^|,)\s*close\s*(,|$)/i.test(value)) isLast = true;
          else if (/(^|,)\s*keep-alive\s*(,|$)/i.test(value)) isLast = false;
          break;
        case 'retry-after':
          this.hasRetryAfter = value !== '';
          this.retryAfterSeconds = /^\d{1,5}$/.test(value) ? Number(value) : 0;
          break;
        case 'idempotency-replayed':
          this.isReplay = value === 'true';
          break;
      }
    }
    if (isChunked && length >= 0) return this.malformed('Content-Length beside Transfer-Encoding');
    // 101 would end HTTP on this connection, and nobody asked for it.
    if (status < 200) return status === 101 || status < 100 ? this.malformed(`status ${status}`) : GO_ON;
    this.status = status;
    this.isLast = isLast;
    this.bodyBytes = 0;
    if (status === 204 || status === 304 || length === 0) return READ_ANSWER;
    if (isChunked) this.state = STATE_CHUNK_SIZE;
    else if (length > 0) this.state = STATE_LENGTH;
    else {
      this.state = STATE_UNTIL_CLOSE;
      this.isLast = true;
    }
    this.left = length;
    return GO_ON;
  }

  private readLength(bytes: Buffer, from: number, end: number): ReadResult {
    const taken = this.takeBody(bytes, from, end);
    if (this.left > 0) return READ_MORE;
    this.state = STATE_HEAD;
    this.next = from + taken;
    return READ_ANSWER;
  }

  private takeBody(bytes: Buffer, from: number, end: number): number {
    const taken = Math.min(this.left, end - from);
    this.keep(bytes, from, from + taken);
    this.left -= taken;
    return taken;
  }

  private keep(bytes: Buffer, from: number, to: number): void {
    if (this.bodyBytes === BODY_KEPT_BYTES) return;
    this.bodyBytes += bytes.copy(this.body, this.bodyBytes, from, Math.min(to, from + BODY_KEPT_BYTES));
  }

  private keepAll(bytes: Buffer, from: number, end: number): ReadResult {
    this.keep(bytes, from, end);
    return READ_MORE;
  }

  private readChunked(bytes: Buffer, from: number, end: number): ReadResult | typeof GO_ON {
    if (this.state === STATE_CHUNK_DATA) {
      this.next = from + this.takeBody(bytes, from, end);
      if (this.left > 0) return READ_MORE;
      this.state = STATE_CHUNK_END;
      return GO_ON;
    }
    if (!this.readLine(bytes, from, end)) {
      return this.line.length > LINE_MAX_BYTES ? this.malformed('a line without an end') : READ_MORE;
    }
    const { line } = this;
    this.line = '';
    if (!line.endsWith('\r')) return this.malformed('a line that ends without CR');
    if (this.state === STATE_CHUNK_END) {
      if (line.length > 1) return this.malformed('a chunk longer than its size');
      this.state = STATE_CHUNK_SIZE;
    } else if (this.state === STATE_TRAILER) {
      if (line.length > 1) return GO_ON;
      this.state = STATE_HEAD;
      return READ_ANSWER;
    } else {
      const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r]*)?\r$/.exec(line);
      if (size === null) return this.malformed('no chunk size');
      this.left = Number.parseInt(size[1]!, 16);
      this.state = this.left > 0 ? STATE_CHUNK_DATA : STATE_TRAILER;
    }
    return GO_ON;
  }

  /** Adds to `line` up to a line feed, which it leaves out; false when there is none yet. */
  private readLine(bytes: Buffer, from: number, end: number): boolean {
    const feed = bytes.subarray(from, end).indexOf(LF);
    this.line += bytes.toString('latin1', from, feed < 0 ? end : from + feed);
    this.next = feed < 0 ? end : from + feed + 1;
    return feed >= 0;
  }

  private malformed(problem: string): ReadResult {
    this.problem = problem;
    this.reset();
    return READ_MALFORMED;
  }
}

const STATUS_LINE = 'HTTP/1.';

/** Whether the bytes so far can be the beginning of a status line. */
function looksLikeStatusLine(bytes: Buffer, from: number, end: number): boolean {
  return STATUS_LINE.startsWith(bytes.toString('latin1', from, Math.min(end, from + STATUS_LINE.length)));
}
