/** `GET /metrics` and `GET /health` of a process without a server of its own, on `--metrics-port`. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** As a registry of prom-client. */
interface Exposed {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/**
 * @param facts further members of the answer of /health
 * @param healthy why the process does no work now, or null
 * @throws MetricsStreamError PORT_IN_USE, BIND_FAILED
 */
export async function serveMetrics(
  host: string,
  port: number,
  registry: Exposed,
  healthy: () => string | null,
  facts: () => Readonly<Record<string, unknown>> = () => ({}),
): Promise<MetricsServer> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET') {
      response.writeHead(405, { allow: 'GET' }).end();
    } else if (request.url === '/metrics') {
      response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
    } else if (request.url === '/health') {
      const reason = healthy();
      const status = reason === null ? { status: 'ok' } : { status: 'failing', reason };
      const body = JSON.stringify({ ...status, ...facts() });
      response.writeHead(reason === null ? 200 : 503, { 'content-type': 'application/json' }).end(body);
    } else {
      response.writeHead(404).end();
    }
  });
  await listen(server, host, port);
  server.unref();
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
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
