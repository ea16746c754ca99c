/**
 * A client that knows which of its requests were acknowledged, and when: keep-alive connections, one request at a
 * time on each, every request with a stamp of its own.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
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

const HEAD_END = '\r\n\r\n';

/** Status of the first complete response, undefined while it is not all there. @throws when it is no response */
export function statusOf(text: string): number | undefined {
  const end = text.indexOf(HEAD_END);
  if (end === -1) return undefined;
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]);
  if (Number.isNaN(status)) throw new Error(`not an HTTP response: ${text.slice(0, 80)}`);
  const length = /^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1];
  // A 204 has no body, and no length.
  if (status === 204) return status;
  if (length === undefined) throw new Error(`a response without a length: ${text.slice(0, end)}`);
  return text.length >= end + HEAD_END.length + Number(length) ? status : undefined;
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

/** Request n carries body n modulo their number, whichever connection sends it. */
export class StampedClient {
  readonly ledger = new Ledger();
  private readonly options: ClientOptions;
  private readonly templates: readonly Template[];
  private stopping = false;

  constructor(options: ClientOptions) {
    this.options = options;
    const { port, path, encoding, workload } = options;
    this.templates = workload.bodies.map((metrics) => {
      const body = encodeBody(metrics, encoding);
      const head = Buffer.from(
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: ${encoding.contentType}\r\n` +
          `Content-Length: ${body.template.length}${HEAD_END}`,
      );
      return { bytes: Buffer.concat([head, body.template]), bodyStart: head.length, body };
    });
  }

  /** Sends until stopped, out of requests, or cut off by the server. */
  async run(): Promise<void> {
    const { connections } = this.options;
    await Promise.all(Array.from({ length: connections }, () => this.runConnection()));
  }

  /** No further request is sent. */
  stop(): void {
    this.stopping = true;
  }

  private async runConnection(): Promise<void> {
    const socket = connect({ port: this.options.port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    // Answered means read, so the next request may overwrite it.
    const scratch = Buffer.alloc(Math.max(...this.templates.map(({ bytes }) => bytes.length)));
    await new Promise<void>((resolve, reject) => {
      let text = '';
      let request = this.send(socket, scratch);
      socket.setEncoding('latin1');
      socket.on('data', (chunk) => {
        try {
          text += chunk;
          const status = statusOf(text);
          if (status === undefined) return;
          text = '';
          if (status >= 200 && status < 300) this.ledger.acknowledge(request as number);
          else this.ledger.refused += 1;
          request = this.send(socket, scratch);
          if (request === undefined) socket.end();
        } catch (error) {
          socket.destroy();
          reject(error);
        }
      });
      // A server that is killed resets its connections: the end that the kill run waits for.
      socket.on('error', () => {});
      socket.once('close', () => resolve());
      if (request === undefined) socket.end();
    });
  }

  private send(socket: Socket, scratch: Buffer): number | undefined {
    const { firstStamp, requests = Number.POSITIVE_INFINITY } = this.options;
    if (this.stopping || this.ledger.sent >= requests) return undefined;
    const request = this.ledger.send();
    const { bytes, bodyStart, body } = this.templates[request % this.templates.length] as Template;
    bytes.copy(scratch);
    stampBody(scratch, bodyStart, body, firstStamp + request);
    socket.write(scratch.subarray(0, bytes.length));
    return request;
  }
}
