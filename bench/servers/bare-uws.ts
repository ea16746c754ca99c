/**
 * The ceiling: uWebSockets.js alone, in the build that MetricsStream loads. It reads each POST's body, keeps nothing and
 * answers an empty 204. Prints the same "listening" line as MetricsStream.
 */
import { EXCLUSIVE_PORT, loadUws } from '../../src/http/uws.ts';

const { module } = loadUws();

module
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
  .listen('127.0.0.1', 0, EXCLUSIVE_PORT, (socket) => {
    if (!socket) throw new Error('cannot listen on 127.0.0.1');
    const port = module.us_socket_local_port(socket);
    console.log(JSON.stringify({ msg: 'listening', port, pid: process.pid }));
  });

process.on('SIGTERM', () => process.exit(0));
