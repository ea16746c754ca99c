/**
 * uWebSockets.js: the part of its interface that the server uses, and the search for a build that loads here.
 *
 * Requiring the binary itself, instead of a package's main module, rules out any JavaScript fallback.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';

export interface HttpRequest {
  getMethod(): string;
  getUrl(): string;
  getHeader(lowerCaseName: string): string;
  forEach(visit: (name: string, value: string) => void): void;
}

export interface HttpResponse {
  writeStatus(status: string | Uint8Array): HttpResponse;
  writeHeader(name: string, value: string): HttpResponse;
  /** A chunk of a body of unknown length; false when the system's buffers did not take what was written before. */
  write(chunk: string): boolean;
  /** Calls when all that was written has been taken; `handler` returns true. */
  onWritable(handler: (offset: number) => boolean): HttpResponse;
  end(body?: string | ArrayBufferView, closeConnection?: boolean): HttpResponse;
  /**
   * Sends what the system's buffers take of `part`, which belongs to a body of `totalSize` bytes. When they have room
   * again, `onWritable` gives the offset of the next byte.
   * @returns whether they took the whole part, and whether the body is complete
   */
  tryEnd(part: string | ArrayBufferView, totalSize: number): [boolean, boolean];
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
  /** Calls for each connection that opens, with 1, and for each that closes, with -1. */
  filter(visit: (response: HttpResponse, change: number) => void): App;
  /** @param options see `EXCLUSIVE_PORT` */
  listen(host: string, port: number, options: number, done: (socket: ListenSocket) => void): App;
  close(): App;
  /** Identifies this app to an app of another thread that hands connections over. */
  getDescriptor(): unknown;
  /** Hands new connections to that app, in turn with the other ones that were added. */
  addChildAppDescriptor(descriptor: unknown): App;
  removeChildAppDescriptor(descriptor: unknown): App;
  /** Seconds from opening a connection to its first request, and between parts of a body. */
  setIdleTimeout(seconds: number): unknown;
  /** Seconds from a response to the next request, whose headers have to be complete by then, or to its being read. */
  setResponseTimeout(seconds: number): unknown;
}

/** `LIBUS_LISTEN_EXCLUSIVE_PORT`: without it two servers could share a port (SO_REUSEPORT), and neither would notice. */
export const EXCLUSIVE_PORT = 1;

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
  us_socket_local_port(socket: ListenSocket): number;
}

export interface Uws {
  readonly module: UwsModule;
  /** Version of the package, e.g. `20.57.0`. */
  readonly version: string;
  /** Which binary was loaded, for the start-up line. */
  readonly build: string;
  /** Path of the binary: workers load the same one. */
  readonly path: string;
  /** Why an installed `uWebSockets.js` is not used; null when none is installed, or when it is. */
  readonly passedOver: string | null;
}

interface Candidate {
  readonly path: string;
  readonly version: string;
  readonly build: string;
}

/** The package of the authors, which npm does not offer: users install it from GitHub. */
const OFFICIAL = 'uWebSockets.js';
const BUNDLED = '@btc-vision/uwebsockets.js';
/** Must agree with scripts/relax-uws.mjs, which makes the copy. */
const RELAXED_SUFFIX = '.glibc-2.36.node';

/** Room for a long request line beside few headers; the default of uWebSockets.js. */
const HEADER_BUFFER_MIN_BYTES = 4096;

const require = createRequire(import.meta.url);

/** The binary of an installed package for this Node.js, or null. Its main module requires that and nothing else. */
function binaryOf(packageName: string): Omit<Candidate, 'build'> | null {
  let directory: string;
  try {
    directory = dirname(require.resolve(packageName));
  } catch {
    return null;
  }
  const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    version: string;
  };
  const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  return { path: join(directory, file), version };
}

function open({ path, version, build }: Candidate, passedOver: string | null): Uws {
  const module = require(path) as UwsModule;
  return { module, version, build, path, passedOver };
}

/**
 * uWebSockets.js buffers the request line and headers that arrive in several packets, and answers 431 itself beyond
 * this. Twice the server's own limit leaves room for the server's answer, which names the limit. It reads the variable
 * once per process, when the binary is loaded, so main has to set it: the environment of a worker is a copy.
 */
function setHeaderBuffer(maxHeaderBytes: number): void {
  process.env.UWS_HTTP_MAX_HEADERS_SIZE = String(Math.max(2 * maxHeaderBytes, HEADER_BUFFER_MIN_BYTES));
}

/**
 * Loads uWebSockets.js: the official package if the user has installed it, else the bundled build, else the copy of
 * it that glibc 2.36 accepts.
 * @param maxHeaderBytes as the option `--max-header-bytes`; only the first load in a process applies it
 * @throws MetricsStreamError TRANSPORT_UNAVAILABLE with the requirement that this machine does not meet
 */
export function loadUws(maxHeaderBytes = HEADER_BUFFER_MIN_BYTES): Uws {
  setHeaderBuffer(maxHeaderBytes);
  let passedOver: string | null = null;
  const official = binaryOf(OFFICIAL);
  if (official !== null) {
    try {
      return requireHandover(open({ ...official, build: `installed ${OFFICIAL}` }, null));
    } catch (error) {
      passedOver = firstLine(error as Error);
    }
  }
  const bundled = binaryOf(BUNDLED);
  if (bundled === null) throw unavailable(`the package ${BUNDLED} is not installed; run npm ci`);
  try {
    return open({ ...bundled, build: 'bundled' }, passedOver);
  } catch (original) {
    const path = bundled.path.replace(/\.node$/, RELAXED_SUFFIX);
    try {
      return open({ path, version: bundled.version, build: 'bundled, relaxed for glibc 2.36' }, passedOver);
    } catch {
      throw unavailable(unmetRequirement(thisMachine(path), firstLine(original as Error)));
    }
  }
}

/** Loads in a worker the binary that main has loaded. */
export const loadSameUws = (path: string): UwsModule => require(path) as UwsModule;

function requireHandover(uws: Uws): Uws {
  const app = uws.module.App();
  const hasHandover = app.addChildAppDescriptor !== undefined;
  app.close();
  if (!hasHandover) throw new Error(`version ${uws.version} cannot hand connections to worker threads`);
  return uws;
}

const firstLine = ({ message }: Error): string => message.split('\n', 1)[0]!;

const unavailable = (detail: string): MetricsStreamError =>
  new MetricsStreamError('TRANSPORT_UNAVAILABLE', `cannot load uWebSockets.js: ${detail}`);

export interface Machine {
  readonly platform: string;
  readonly arch: string;
  readonly node: string;
  /** Undefined with musl. */
  readonly glibc: string | undefined;
  readonly hasRelaxed: boolean;
}

function thisMachine(relaxedPath: string): Machine {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return {
    platform: process.platform,
    arch: process.arch,
    node: process.versions.node,
    glibc: header.glibcVersionRuntime,
    hasRelaxed: existsSync(relaxedPath),
  };
}

const GLIBC_MIN_MINOR = 36;
const NODE_MAJORS = ['20', '22', '24'];

/**
 * The requirement that a machine does not meet, in one line.
 * @param cause what the dynamic linker said, for machines that meet all of them
 */
export function unmetRequirement(machine: Machine, cause: string): string {
  const { platform, arch, node, glibc, hasRelaxed } = machine;
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch))
    return `it needs Linux on x64 or arm64; this is ${platform} on ${arch}`;
  if (!NODE_MAJORS.includes(node.split('.', 1)[0]!)) return `it needs Node.js 20, 22 or 24; this is ${node}`;
  const needsGlibc = 'it needs glibc 2.36 or later (Debian 12, Ubuntu 24.04, RHEL 10)';
  if (glibc === undefined) return `${needsGlibc}; this system has another C library, such as musl on Alpine`;
  if (Number(glibc.split('.')[1]) < GLIBC_MIN_MINOR) return `${needsGlibc}; this system has glibc ${glibc}`;
  if (!hasRelaxed) return `glibc ${glibc} needs a copy of its binary that is missing; run npm run build`;
  return cause;
}
