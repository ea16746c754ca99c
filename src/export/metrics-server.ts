/** `GET /metrics` and `GET /health` of a process without a server of its own, on `--metrics-port`. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** As a registry of prom-client. */
export interface Exposed {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface Health {
  /** Why the process does no work now, or null. */
  readonly problem: string | null;
  /** Further members of the answer of /health. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Longer than common scrape intervals: Node.js closes after 5 s, just as a scrape after 5 s arrives. */
const KEEP_ALIVE_MS = 65_000;

/** @throws MetricsStreamError PORT_IN_USE, BIND_FAILED */
export async function serveMetrics(
  host: string,
  port: number,
  registry: Exposed,
  health: Health,
  logger: Logger,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(request, response, registry, health).catch((error: Error) => {
      logger.warn({ error: error.message }, `cannot answer ${request.url}`);
      response.writeHead(500).end();
    });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await listen(server, host, port);
  server.unref();
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** Without the parameters that scrapers add; proxies may send the whole address (RFC 9112, section 3.2.2). */
const pathOf = (target = ''): string => target.replace(/^https?:\/\/[^/?]*|\?.*$/gi, '');

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  registry: Exposed,
  health: Health,
): Promise<void> {
  // A cache on the way must not answer for this process.
  response.setHeader('cache-control', 'no-store');
  const path = pathOf(request.url);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
  } else if (path === '/metrics') {
    const text = await registry.metrics();
    response.writeHead(200, { 'content-type': registry.contentType }).end(text);
  } else if (path === '/health') {
    const { problem, facts } = health;
    const status = problem === null ? { status: 'ok' } : { status: 'failing', reason: problem };
    const body = JSON.stringify({ ...status, ...facts });
    response.writeHead(problem === null ? 200 : 503, { 'content-type': 'application/json' }).end(body);
  } else {
    response.writeHead(404).end();
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE';
      const why = isTaken ? 'in use; give --metrics-port another one' : systemErrorText(error);
      reject(
        new MetricsStreamError(
          isTaken ? 'PORT_IN_USE' : 'BIND_FAILED',
          `cannot serve metrics on ${host}:${port}: ${why}`,
        ),
      );
    });
    server.listen(port, host);
  });
}
