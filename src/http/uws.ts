/**
 * uWebSockets.js, from whichever of two redistributions loads on this machine.
 *
 * The newer build can hand accepted connections to other threads by descriptor but needs glibc 2.38; the older one
 * runs on glibc 2.27 and lets each worker listen for itself (SO_REUSEPORT). The older package falls back to a
 * JavaScript server where its binary does not load; requiring the binary itself rules that out.
 */
import { createRequire } from 'node:module';
import { MetricsStreamError } from '../base/errors.ts';

export interface HttpRequest {
  getMethod(): string;
  getUrl(): string;
  getHeader(lowerCaseName: string): string;
  forEach(visit: (name: string, value: string) => void): void;
}

export interface HttpResponse {
  writeStatus(status: string): HttpResponse;
  /** A chunk of a body of unknown length; false when the system's buffers did not take what was written before. */
  write(chunk: string): boolean;
  /** Calls when all that was written has been taken; `handler` returns true. */
  onWritable(handler: (offset: number) => boolean): HttpResponse;
  end(body?: string | ArrayBufferView, closeConnection?: boolean): HttpResponse;
  endWithoutBody(reportedContentLength?: number, closeConnection?: boolean): HttpResponse;
  close(): HttpResponse;
  onAborted(handler: () => void): HttpResponse;
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): HttpResponse;
  getRemoteAddress(): ArrayBuffer;
  cork(write: () => void): HttpResponse;
}

export type RouteHandler = (response: HttpResponse, request: HttpRequest) => void;
/** Opaque; falsy when listening failed. */
export type ListenSocket = unknown;

export interface App {
  get(pattern: string, handler: RouteHandler): App;
  head(pattern: string, handler: RouteHandler): App;
  post(pattern: string, handler: RouteHandler): App;
  any(pattern: string, handler: RouteHandler): App;
  listen(host: string, port: number, done: (socket: ListenSocket) => void): App;
  close(): App;
  /** With descriptor hand-over only. */
  getDescriptor?(): unknown;
  addChildAppDescriptor?(descriptor: unknown): App;
  removeChildAppDescriptor?(descriptor: unknown): App;
  /** Seconds to wait for a request and its headers, and for the next one; the older build has 10 built in. */
  setIdleTimeout?(seconds: number): unknown;
  setResponseTimeout?(seconds: number): unknown;
}

interface SslOptions {
  readonly cert_file_name?: string;
  readonly key_file_name?: string;
  readonly ssl_ciphers?: string;
}

interface UwsModule {
  App(): App;
  /** Throws when certificate and key cannot be used. */
  SSLApp(options: SslOptions): App;
  us_listen_socket_close(socket: ListenSocket): void;
}

export type HandoverKind = 'descriptor' | 'reuseport';

export interface Uws {
  readonly module: UwsModule;
  readonly version: string;
  readonly handover: HandoverKind;
}

interface Candidate {
  readonly version: string;
  readonly handover: HandoverKind;
  /** What to require: the binary itself, or a module that is the binary or throws. */
  readonly binary: string;
}

const target = `${process.platform}_${process.arch}_${process.versions.modules}`;

const CANDIDATES: readonly Candidate[] = [
  // Its exports hide the binary; its main module requires that and nothing else.
  { version: '20.57', handover: 'descriptor', binary: 'uws-descriptor' },
  { version: '20.30', handover: 'reuseport', binary: `uws-reuseport/binaries/uws_${target}.node` },
];

/** The first line says what failed, the last one why. */
function firstAndLastLine({ message }: Error): string {
  const lines = message.split('\n').filter((line) => line !== '');
  return [...new Set([lines[0], lines.at(-1)])].join(' ');
}

/** The newest build that loads and hands over as asked. */
export function loadUws(wanted: HandoverKind | 'auto', candidates: readonly Candidate[] = CANDIDATES): Uws {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const { version, handover, binary } of candidates) {
    if (wanted !== 'auto' && wanted !== handover) continue;
    try {
      return { module: require(binary) as UwsModule, version, handover };
    } catch (error) {
      failures.push(`${version} (${handover}): ${firstAndLastLine(error as Error)}`);
    }
  }
  throw new MetricsStreamError(
    'TRANSPORT_UNAVAILABLE',
    `no native uWebSockets.js loads under Node.js ${process.version} on ${process.platform} ${process.arch}: ${failures.join('; ')}. ` +
      'Use Node.js 20 on Linux with glibc 2.27 or later; the JavaScript fallback is not used, since it is slow.',
  );
}
