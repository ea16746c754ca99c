/**
 * One pass over the headers of a request: keeps everything the server decides by until the next scan.
 *
 * uWebSockets.js calls a route before it has validated how the body is framed, and it accepts a duplicate
 * Content-Length. So this class checks the framing rules of RFC 9112 section 6: at most one Content-Length, never
 * together with Transfer-Encoding, only `chunked`, exactly one valid Host.
 */
import type { HttpRequest } from './uws.ts';

export const FRAMING_OK = 0;
const FRAMING_BROKEN = 1;
export const HEADERS_TOO_LARGE = 2;
export type FramingVerdict = typeof FRAMING_OK | typeof FRAMING_BROKEN | typeof HEADERS_TOO_LARGE;

/** Bytes of a header line besides name and value: colon, space, CR and LF. */
const LINE_EXTRA_BYTES = 4;

/** `close` as a member of the list (RFC 9110, section 7.6.1). */
const CLOSE = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;
const CLOSE_ALONE_BYTES = 'close'.length;

/** uWebSockets.js answers this text itself, and no other way to write it. */
const CONTINUE_ANSWERED = '100-continue';
/** The same in any case, maybe among others: JDK's HttpClient sends `100-Continue` (RFC 9110, section 10.1.1). */
const CONTINUE = /(?:^|,)[ \t]*100-continue[ \t]*(?:,|$)/i;

/** `uri-host [":" port]` (RFC 9110, section 7.2); empty if the target has no authority. */
const HOST = /^(?:\[[\w.:!$&'()*+,;=~%-]+\]|(?:[\w.!$&'()*+,;=~-]|%[\da-f]{2})*)(?::\d*)?$/i;

/** A header that occurs twice means the list of both values (RFC 9110, section 5.3). */
const joined = (list: string, value: string): string => (list === '' ? value : `${list}, ${value}`);

export class HeaderScan {
  /** Declared bytes of the body; -1 when the client declares none. */
  contentLength = -1;
  contentType = '';
  contentEncoding = '';
  prefer = '';
  accept = '';
  authorization = '';
  /** Value of the header that identifies the client; empty when it is absent or the address identifies clients. */
  clientKey = '';
  forwarded = '';
  xForwardedFor = '';
  idempotencyKey = '';
  /** The client asks for the end of the connection, maybe among other options. */
  closes = false;
  /** uWebSockets.js closes it by itself: its rule is a first Connection header of five bytes. */
  closesAlone = false;
  /** The client waits for 100 before it sends the body, and uWebSockets.js has not sent it. */
  awaitsContinue = false;
  /** Why the framing is broken, for the response. */
  problem = '';
  private bytes = 0;
  private hosts = 0;
  private lengths = 0;
  private codings = 0;
  /** Valid Host of an earlier request: clients repeat it. */
  private knownHost = '';
  private readonly maxBytes: number;
  private readonly clientHeader: string;
  private readonly visit = (name: string, value: string): void => this.visitLine(name, value);

  /** @param clientHeader lower-case name of the header that identifies a client; empty for none */
  constructor(maxBytes: number, clientHeader: string) {
    this.maxBytes = maxBytes;
    this.clientHeader = clientHeader;
  }

  get hasBody(): boolean {
    return this.contentLength > 0 || this.codings > 0;
  }

  scan(request: HttpRequest): FramingVerdict {
    this.contentLength = -1;
    this.contentType = '';
    this.contentEncoding = '';
    this.prefer = '';
    this.accept = '';
    this.authorization = '';
    this.clientKey = '';
    this.forwarded = '';
    this.xForwardedFor = '';
    this.idempotencyKey = '';
    this.closes = false;
    this.awaitsContinue = false;
    this.problem = '';
    this.bytes = 0;
    this.hosts = 0;
    this.lengths = 0;
    this.codings = 0;
    request.forEach(this.visit);
    this.closesAlone = this.closes && request.getHeader('connection').length === CLOSE_ALONE_BYTES;
    if (this.bytes > this.maxBytes) return HEADERS_TOO_LARGE;
    if (this.hosts !== 1)
      this.problem = this.hosts === 0 ? 'Host is missing' : 'Host is given more than once';
    else if (this.lengths > 1) this.problem = 'Content-Length is given more than once';
    else if (this.codings > 0 && this.lengths > 0) {
      this.problem = 'Content-Length and Transfer-Encoding are given together';
    } else if (this.codings > 1) this.problem = 'Transfer-Encoding is given more than once';
    return this.problem === '' ? FRAMING_OK : FRAMING_BROKEN;
  }

  /** Compares lengths first: with one exception the names differ in length. */
  private visitLine(name: string, value: string): void {
    const nameBytes = name.length;
    this.bytes += nameBytes + value.length + LINE_EXTRA_BYTES;
    if (nameBytes === this.clientHeader.length && name === this.clientHeader) this.clientKey = value;
    switch (nameBytes) {
      case 4:
        if (name !== 'host') return;
        this.hosts++;
        if (value !== this.knownHost) this.checkHost(value);
        return;
      case 6:
        if (name === 'prefer') this.prefer = joined(this.prefer, value);
        else if (name === 'accept') this.accept = joined(this.accept, value);
        else if (name === 'expect' && value !== CONTINUE_ANSWERED && CONTINUE.test(value))
          this.awaitsContinue = true;
        return;
      case 9:
        if (name === 'forwarded') this.forwarded = joined(this.forwarded, value);
        return;
      case 10:
        if (name === 'connection' && CLOSE.test(value)) this.closes = true;
        return;
      case 12:
        if (name === 'content-type' && value !== this.contentType)
          this.contentType = joined(this.contentType, value);
        return;
      case 13:
        if (name === 'authorization') this.authorization = joined(this.authorization, value);
        return;
      case 14:
        if (name !== 'content-length') return;
        this.lengths++;
        this.parseLength(value);
        return;
      case 15:
        if (name === 'x-forwarded-for') this.xForwardedFor = joined(this.xForwardedFor, value);
        // An empty value counts as the empty key, which is refused later.
        else if (name === 'idempotency-key')
          this.idempotencyKey = joined(this.idempotencyKey, value === '' ? '""' : value);
        return;
      case 16:
        if (name === 'content-encoding') this.contentEncoding = joined(this.contentEncoding, value);
        return;
      case 17:
        if (name === 'transfer-encoding') this.checkCoding(value);
        return;
    }
  }

  private checkHost(value: string): void {
    if (HOST.test(value)) this.knownHost = value;
    else this.problem = 'Host is invalid';
  }

  private checkCoding(value: string): void {
    this.codings++;
    if (value.toLowerCase() !== 'chunked') this.problem = 'Transfer-Encoding is not "chunked"';
  }

  private parseLength(value: string): void {
    let length = 0;
    for (let i = 0; i < value.length; i++) {
      const digit = value.charCodeAt(i) - 48;
      if (digit < 0 || digit > 9) {
        this.problem = 'Content-Length is not a number';
        return;
      }
      length = length * 10 + digit;
    }
    if (value.length === 0) this.problem = 'Content-Length is empty';
    this.contentLength = length;
  }
}
