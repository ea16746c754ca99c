/** A request on the disk of this clone, without an added delay: answered after the sync, before it, and by phase 6. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Connection } from '../../../load-test/generator/connection.ts';
import type { BenchModule, Side } from '../../../src/learn/bench-module.ts';
import { withServer } from './server.ts';

const BODY = '{"metrics":[{"name":"lab","value":1}]}';
const HEAD = [
  'POST /metrics HTTP/1.1',
  'Host: 127.0.0.1',
  'Content-Type: application/json',
  `Content-Length: ${BODY.length}`,
];
const REQUEST = { bytes: Buffer.from(`${HEAD.join('\r\n')}\r\n\r\n${BODY}`), patch: () => {} };
const WARM_UP_MS = 200;
const MANY = 20;

const SERVERS: Readonly<Record<Side, { readonly phase: string; readonly ack: 'synced' | 'written' }>> = {
  before: { phase: '0', ack: 'synced' },
  after: { phase: '0', ack: 'written' },
  // The last of the path's phases that serves requests, and that needs no other build than the compiler's.
  reference: { phase: '6', ack: 'synced' },
};

/** Keeps `clients` connections busy for `ms`. @returns the milliseconds from one answer to the next */
function keepBusy(port: number, clients: number, ms: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    let answers = 0;
    let open = clients;
    const close = (connection: Connection): void => {
      connection.close();
      if (--open === 0) resolve((performance.now() - startMs) / answers);
    };
    const answered = (connection: Connection, { status }: { readonly status: number }): void => {
      if (status !== 200) reject(new assert.AssertionError({ message: `the server answered ${status}` }));
      answers++;
      if (performance.now() - startMs < ms) connection.send();
      else close(connection);
    };
    const failed = (_: Connection, failure: string): void =>
      reject(new Error(`a request failed: ${failure}`));
    for (let client = 0; client < clients; client++) {
      const target = { host: '127.0.0.1', port, keepAlive: true };
      new Connection(client, REQUEST, target, { answered, failed }).send();
    }
  });
}

const measure = (clients: number) => (side: Side, ms: number, root: string) =>
  withServer({ root, directory: join(root, '.artifacts'), ...SERVERS[side] }, async (port) => {
    await keepBusy(port, clients, WARM_UP_MS);
    return keepBusy(port, clients, ms);
  });

export const bench: BenchModule['bench'] = {
  unit: 'ms a request',
  question: `your own disk now, and ${MANY} clients: phase 0 answers one request after the other. How many ms a request, if it answers before the sync?`,
  columns: { before: 'phase 0, synced', yours: 'phase 0, written', reference: 'phase 6, synced' },
  rows: [
    { name: `${MANY} clients`, measure: measure(MANY) },
    { name: 'one client', measure: measure(1) },
  ],
};
