/**
 * A client that knows which of its requests were acknowledged, and when: keep-alive connections, one request at a
 * time on each, every request with a stamp of its own.
 */
import {
  Connection,
  type ConnectionEvents,
  type RequestSource,
} from '../../load-test/generator/connection.ts';
import type { Encoding } from './encodings.ts';
import { encodeBody, type StampedBody, type StampedWorkload, stampBody } from './stamped-workload.ts';

/** Stamps are counted from the first of the run. */
export class Ledger {
  /** Requests sent. */
  sent = 0;
  /** When the answer to each came, on the clock of `performance.now()`; 0 where none came or it refused. */
  private readonly times: number[] = [];
  acknowledged = 0;
  refused = 0;

  send(): number {
    this.times.push(0);
    return this.sent++;
  }

  acknowledge(request: number): void {
    this.times[request] = performance.now();
    this.acknowledged += 1;
  }

  /** 0: not acknowledged. */
  acknowledgedAt(request: number): number {
    return this.times[request] ?? 0;
  }
}

export interface ClientOptions {
  readonly port: number;
  readonly path: string;
  readonly encoding: Encoding;
  readonly workload: StampedWorkload;
  readonly connections: number;
  readonly firstStamp: number;
  /** Requests in all; unlimited when absent. */
  readonly requests?: number;
}

/** A whole request before it is stamped; nothing in it changes its width. */
interface Template {
  readonly bytes: Buffer;
  readonly bodyStart: number;
  readonly body: StampedBody;
}

function templatesOf({ port, path, encoding, workload }: ClientOptions): Template[] {
  return workload.bodies.map((metrics) => {
    const body = encodeBody(metrics, encoding);
    const head = Buffer.from(
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: ${encoding.contentType}\r\n` +
        `Content-Length: ${body.template.length}\r\n\r\n`,
    );
    return { bytes: Buffer.concat([head, body.template]), bodyStart: head.length, body };
  });
}

/** The requests of one connection. Answered means read, so the next request may overwrite it. */
class StampedSource implements RequestSource {
  bytes: Buffer;
  private readonly scratch: Buffer;
  private readonly templates: readonly Template[];
  private readonly firstStamp: number;

  constructor(templates: readonly Template[], firstStamp: number) {
    this.scratch = Buffer.alloc(Math.max(...templates.map(({ bytes }) => bytes.length)));
    this.bytes = this.scratch;
    this.templates = templates;
    this.firstStamp = firstStamp;
  }

  /** Request n carries body n modulo their number, whichever connection sends it. */
  patch(request: number): void {
    const { bytes, bodyStart, body } = this.templates[request % this.templates.length]!;
    bytes.copy(this.scratch);
    stampBody(this.scratch, bodyStart, body, this.firstStamp + request);
    this.bytes = this.scratch.subarray(0, bytes.length);
  }
}

export class StampedClient {
  readonly ledger = new Ledger();
  private readonly options: ClientOptions;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  /** Sends until out of requests, or cut off by the server. @throws for an answer that is no HTTP */
  run(): Promise<void> {
    const { ledger } = this;
    const { port, connections, firstStamp, requests = Number.POSITIVE_INFINITY } = this.options;
    const templates = templatesOf(this.options);
    return new Promise((resolve, reject) => {
      let open = connections;
      const end = (connection: Connection): void => {
        connection.close();
        if (--open === 0) resolve();
      };
      const sendNext = (connection: Connection): void => {
        if (ledger.sent >= requests) return end(connection);
        connection.number = ledger.send();
        connection.template.patch(connection.number, false);
        connection.send();
      };
      const events: ConnectionEvents = {
        answered: (connection, { status }) => {
          if (status >= 200 && status < 300) ledger.acknowledge(connection.number);
          else ledger.refused++;
          sendNext(connection);
        },
        // A server that is killed resets its connections: the end that the kill run waits for.
        failed: (connection, failure) => {
          if (failure === 'malformed') reject(new Error('not an HTTP response'));
          end(connection);
        },
      };
      const target = { host: '127.0.0.1', port, keepAlive: true };
      for (let index = 0; index < connections; index++)
        sendNext(new Connection(index, new StampedSource(templates, firstStamp), target, events));
    });
  }
}
