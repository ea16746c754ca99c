/**
 * Answers every POST after a fixed time, whatever else is under way: what a closed loop does against it is known
 * beforehand. For the comparison with wrk; prints the same "listening" line as the server.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const delayMs = Number(process.argv[2]);
const BODY = '{"accepted":1,"rejected":0}';

const server = createServer((request, response) => {
  request.resume().once('end', () => {
    setTimeout(() => {
      response
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': BODY.length })
        .end(BODY);
    }, delayMs);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: 'listening', port, pid: process.pid }));
});
process.on('SIGTERM', () => process.exit(0));
