/**
 * The ceiling: uWebSockets.js alone, which takes each POST's body and answers an empty 204. Nothing is looked at,
 * nothing is kept. Prints the same "listening" line as MetricsStream.
 */
import { createRequire } from 'node:module';

interface BareResponse {
  onAborted(handler: () => void): void;
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): void;
  cork(callback: () => void): void;
  writeStatus(status: string): BareResponse;
  endWithoutBody(): void;
}

interface BareApp {
  post(pattern: string, handler: (response: BareResponse) => void): BareApp;
  listen(host: string, port: number, handler: (socket: unknown) => void): BareApp;
}

interface BareLibrary {
  App(): BareApp;
  us_socket_local_port(socket: unknown): number;
}

/** The newer of the two builds that loads here, as MetricsStream itself chooses. */
function loadLibrary(): BareLibrary {
  const require = createRequire(import.meta.url);
  try {
    return require('uws-descriptor') as BareLibrary;
  } catch {
    // Needs glibc 2.38.
    return require('uws-reuseport') as BareLibrary;
  }
}

const library = loadLibrary();

library
  .App()
  .post('/metrics', (response) => {
    let aborted = false;
    response.onAborted(() => {
      aborted = true;
    });
    response.onData((_chunk, isLast) => {
      if (!isLast || aborted) return;
      response.cork(() => response.writeStatus('204 No Content').endWithoutBody());
    });
  })
  .listen('127.0.0.1', 0, (socket) => {
    if (!socket) throw new Error('cannot listen on 127.0.0.1');
    const port = library.us_socket_local_port(socket);
    console.log(JSON.stringify({ msg: 'listening', port, pid: process.pid }));
  });

process.on('SIGTERM', () => process.exit(0));
