/**
 * An HTTP/1.1 client over a bare socket. It sends any bytes in any chunks and reads one response at a time.
 *
 * Ordinary clients refuse to send broken framing, split bodies and slow headers. They also hide resets, a close without
 * a response, and bytes behind a response.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectSecure, type TLSSocket } from 'node:tls';

export interface HttpResponse {
  readonly status: number;
  readonly reason: string;
  /** Lower-case name → every value given, in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Buffer;
  /** The first value of a header. */
  header(name: string): string | undefined;
  json(): Record<string, unknown>;
}

/** The next event of a connection: a response, or its end. `dirty` means reset rather than closed. */
export type HttpEvent =
  | { readonly kind: 'response'; readonly response: HttpResponse }
  | { readonly kind: 'closed'; readonly dirty: boolean }
  | { readonly kind: 'silent' };

/** The connection ended before a whole response had arrived. */
class ConnectionClosed extends Error {
  readonly code: string | undefined;

  constructor(code: string | undefined) {
    super(`the connection was closed before a whole response${code === undefined ? '' : ` (${code})`}`);
    this.name = 'ConnectionClosed';
    this.code = code;
  }
}

/** No whole response within the time allowed. */
class ResponseTimeout extends Error {
  constructor(timeoutMs: number, received: Buffer) {
    super(`no response within ${timeoutMs} ms; received ${JSON.stringify(received.toString('latin1'))}`);
    this.name = 'ResponseTimeout';
  }
}

const HEAD_END = Buffer.from('\r\n\r\n');

interface Head {
  readonly status: number;
  readonly reason: string;
  readonly headers: Map<string, string[]>;
  readonly bodyStart: number;
}

function parseHead(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const match = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(statusLine);
  if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`);
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`not a header line: ${JSON.stringify(line)}`);
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return { status: Number(match[1]), reason: match[2] ?? '', headers, bodyStart: end + HEAD_END.length };
}

/** The body of a chunked message from `start`, or undefined while it is incomplete. */
function parseChunked(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error('not a chunk size');
    const dataStart = lineEnd + 2;
    if (bytes.length < dataStart + size + 2) return undefined;
    parts.push(bytes.subarray(dataStart, dataStart + size));
    at = dataStart + size + 2;
    if (size === 0) return { body: Buffer.concat(parts), end: at };
  }
}

function parseResponse(
  bytes: Buffer,
  method: string,
  ended: boolean,
): { response: HttpResponse; end: number } | undefined {
  const head = parseHead(bytes);
  if (head === undefined) return undefined;
  if (head.status < 200) {
    const rest = parseResponse(bytes.subarray(head.bodyStart), method, ended);
    return rest && { response: rest.response, end: head.bodyStart + rest.end };
  }
  const finish = (body: Buffer, end: number) => ({ response: responseOf(head, body), end });
  if (method === 'HEAD' || head.status === 204 || head.status === 304) {
    return finish(Buffer.alloc(0), head.bodyStart);
  }
  if (head.headers.get('transfer-encoding')?.[0]?.toLowerCase() === 'chunked') {
    const chunked = parseChunked(bytes, head.bodyStart);
    return chunked && finish(chunked.body, chunked.end);
  }
  const declared = head.headers.get('content-length')?.[0];
  if (declared === undefined) {
    return ended ? finish(Buffer.from(bytes.subarray(head.bodyStart)), bytes.length) : undefined;
  }
  const end = head.bodyStart + Number(declared);
  if (bytes.length < end) return undefined;
  return finish(Buffer.from(bytes.subarray(head.bodyStart, end)), end);
}

function responseOf(head: Head, body: Buffer): HttpResponse {
  return {
    status: head.status,
    reason: head.reason,
    headers: head.headers,
    body,
    header: (name) => head.headers.get(name.toLowerCase())?.[0],
    json: () => JSON.parse(body.toString('utf8')) as Record<string, unknown>,
  };
}

export interface RequestOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** The bytes of an ordinary request, with Host, and with Content-Length if there is a body. */
export function requestBytes(options: RequestOptions = {}): Buffer {
  const { method = 'GET', path = '/', headers = {}, body } = options;
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: localhost'];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  const payload = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  if (body !== undefined) lines.push(`Content-Length: ${payload.length}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), payload]);
}

const DEFAULT_TIMEOUT_MS = 180_000;
/** Longer than a busy machine needs, and shorter than the time after which the server closes any idle connection. */
export const CLOSED_WITHIN_MS = 8_000;

export class RawConnection {
  readonly socket: Socket;
  private received: Buffer = Buffer.alloc(0);
  private ended = false;
  private errorCode: string | undefined;
  /** Methods of the requests sent whose responses have not been read: a HEAD's response has no body. */
  private readonly methods: string[] = [];
  private wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.received = this.received.length === 0 ? bytes : Buffer.concat([this.received, bytes]);
      this.wake?.();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code;
    });
    const onEnd = () => {
      this.ended = true;
      this.wake?.();
    };
    socket.on('end', onEnd);
    socket.on('close', onEnd);
  }

  /**
   * @param localAddress from which the connection comes; the system's choice unless given
   * @throws the system's error if nobody listens
   */
  static async open(port: number, host = '127.0.0.1', localAddress?: string): Promise<RawConnection> {
    const socket = connect({
      port,
      host,
      allowHalfOpen: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawConnection(socket);
  }

  /** Over TLS; accepts any certificate unless `options` say otherwise. @throws if the handshake fails */
  static async openSecure(
    port: number,
    options: ConnectionOptions & { readonly localAddress?: string } = {},
  ): Promise<RawConnection> {
    const socket = connectSecure({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new ConnectionClosed(undefined)));
    });
    return new RawConnection(socket);
  }

  /** Of a connection over TLS. */
  get secureSocket(): TLSSocket {
    return this.socket as TLSSocket;
  }

  get closed(): boolean {
    return this.ended;
  }

  /** Bytes received beyond the responses read so far. */
  get unread(): Buffer {
    return this.received;
  }

  write(bytes: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Sends the parts one after another, each in its own segment as far as TCP allows. */
  async writeParts(parts: readonly (string | Uint8Array)[], pauseMs = 0): Promise<void> {
    for (const part of parts) {
      if (this.socket.destroyed || this.ended) return;
      await new Promise<void>((resolve) => this.socket.write(part, () => resolve()));
      if (pauseMs > 0) await delay(pauseMs);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Closes the sending side; the response can still be read. */
  finish(): void {
    this.socket.end();
  }

  /** Sends a request without waiting for its response. */
  send(options: RequestOptions): void {
    this.methods.push(options.method ?? 'GET');
    this.write(requestBytes(options));
  }

  /** @throws {ConnectionClosed} {ResponseTimeout} */
  async request(options: RequestOptions): Promise<HttpResponse> {
    this.send(options);
    return this.read(options.timeoutMs);
  }

  /** Reads the next response. @throws {ConnectionClosed} {ResponseTimeout} */
  async read(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<HttpResponse> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const parsed = parseResponse(this.received, this.methods[0] ?? 'POST', this.ended);
      if (parsed !== undefined) {
        this.methods.shift();
        this.received = Buffer.from(this.received.subarray(parsed.end));
        return parsed.response;
      }
      if (this.ended) throw new ConnectionClosed(this.errorCode);
      if (!(await this.changed(deadline))) throw new ResponseTimeout(timeoutMs, this.received);
    }
  }

  /** Reads the head of a response without a body, such as an interim one. @returns its status */
  async readHead(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<number> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const head = parseHead(this.received);
      if (head !== undefined) {
        this.received = Buffer.from(this.received.subarray(head.bodyStart));
        return head.status;
      }
      if (this.ended) throw new ConnectionClosed(this.errorCode);
      if (!(await this.changed(deadline))) throw new ResponseTimeout(timeoutMs, this.received);
    }
  }

  /** The next response, the end of the connection, or silence for `timeoutMs`. */
  async next(timeoutMs: number): Promise<HttpEvent> {
    try {
      return { kind: 'response', response: await this.read(timeoutMs) };
    } catch (error) {
      if (error instanceof ConnectionClosed) return { kind: 'closed', dirty: error.code !== undefined };
      if (error instanceof ResponseTimeout) return { kind: 'silent' };
      throw error;
    }
  }

  /** Resolves true once the server has closed, false if it has not within `timeoutMs`. */
  async waitClosed(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!this.ended) if (!(await this.changed(deadline))) return this.ended;
    return true;
  }

  close(): void {
    this.socket.destroy();
  }

  /** Resolves true once bytes arrive or the connection ends, false at the deadline. */
  private async changed(deadline: number): Promise<boolean> {
    const waitMs = deadline - performance.now();
    if (waitMs <= 0) return false;
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => done(false), waitMs);
      const done = (value: boolean) => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve(value);
      };
      this.wake = () => done(true);
    });
  }
}

/** One request on its own connection. */
export async function fetchOnce(port: number, options: RequestOptions = {}): Promise<HttpResponse> {
  const connection = await RawConnection.open(port);
  try {
    return await connection.request(options);
  } finally {
    connection.close();
  }
}

/** One request on its own connection, over TLS. */
export async function fetchSecure(port: number, options: RequestOptions = {}): Promise<HttpResponse> {
  const connection = await RawConnection.openSecure(port);
  try {
    return await connection.request(options);
  } finally {
    connection.close();
  }
}

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly path?: string;
  readonly timeoutMs?: number;
}

/** The request that posts a JSON body to /metrics. */
export function postRequest(body: string | Uint8Array, options: PostOptions = {}): RequestOptions {
  const { headers = {}, path = '/metrics', timeoutMs } = options;
  return {
    method: 'POST',
    path,
    headers: { 'Content-Type': 'application/json', ...headers },
    body,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** Posts on its own connection. */
export function post(port: number, body: string | Uint8Array, options?: PostOptions): Promise<HttpResponse> {
  return fetchOnce(port, postRequest(body, options));
}

/** `body` in chunked transfer coding, in chunks of `chunkBytes`. */
export function chunkedBytes(body: string | Uint8Array, chunkBytes: number): Buffer {
  const bytes = Buffer.from(body);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from('0\r\n\r\n'));
  return Buffer.concat(parts);
}
