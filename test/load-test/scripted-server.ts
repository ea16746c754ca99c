/** A TCP server that answers requests by a script, byte by byte, as no correct server would. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { freePort } from '../../load-test/free-port.ts';
import type { Owner } from '../support/clean-up.ts';

/**
 * @param count requests so far, this one included, on all connections
 * @param stop refuses further connections
 */
export type Respond = (socket: Socket, request: string, count: number, stop: () => void) => unknown;

export interface ScriptedServer {
  readonly port: number;
  /** Connections opened so far. */
  readonly connections: () => number;
  readonly requests: () => readonly string[];
  /** Refuses further connections. */
  readonly close: () => void;
}

/** The length of the first request in `text`, or 0 while it is not whole. */
function requestLength(text: string): number {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return 0;
  const length = Number(/^content-length: (\d+)$/im.exec(text.slice(0, headEnd))?.[1] ?? 0);
  return text.length >= headEnd + 4 + length ? headEnd + 4 + length : 0;
}

export async function startScriptedServer(owner: Owner, respond: Respond): Promise<ScriptedServer> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    connections++;
    sockets.add(socket);
    let received = '';
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      for (let length = requestLength(received); length > 0; length = requestLength(received)) {
        const request = received.slice(0, length);
        received = received.slice(length);
        respond(socket, request, requests.push(request), () => server.close());
      }
    });
  });
  // Nothing takes this port when the server has closed, so a test can rely on a refused connection.
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  owner.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    requests: () => requests,
    close: () => server.close(),
  };
}

export function answer(status: number, body = '', headers: readonly string[] = []): string {
  const lines = [`HTTP/1.1 ${status} Text`, `Content-Length: ${Buffer.byteLength(body)}`, ...headers];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

export const accepted = (metrics: number): string =>
  answer(200, JSON.stringify({ accepted: metrics, rejected: 0 }));
