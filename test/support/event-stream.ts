/** A reader of server-sent events that parses messages as a browser does (WHATWG HTML, section 9.2). */
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { EVENT_TIMEOUT_MS } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';

export class EventStream {
  readonly response: IncomingMessage;
  /** The data of each message so far, parsed. */
  readonly messages: Record<string, unknown>[] = [];
  /** Delay in milliseconds that the server asks for before a reconnect. */
  retryMs: number | null = null;
  /** Resolves when the stream ends; true if the server ended it in order. */
  readonly ended: Promise<boolean>;
  private readonly request: ClientRequest;
  private rest = '';
  private look = () => {};

  private constructor(request: ClientRequest, response: IncomingMessage) {
    this.request = request;
    this.response = response;
    response.setEncoding('utf8').on('data', (text: string) => this.append(text));
    this.ended = new Promise((resolve) => {
      response.once('close', () => resolve(response.complete));
    });
    response.on('error', () => {});
    request.on('error', () => {});
  }

  static open(owner: Owner, port: number): Promise<EventStream> {
    return new Promise((resolve, reject) => {
      const request = get({ port, host: '127.0.0.1', path: '/live', agent: false });
      request.once('error', reject);
      request.once('response', (response) => resolve(new EventStream(request, response)));
      onEnd(owner, () => request.destroy());
    });
  }

  close(): void {
    this.request.destroy();
  }

  /** Resolves with the first message, past or future, that passes. */
  until(
    wanted: (message: Record<string, unknown>) => boolean,
    timeoutMs = EVENT_TIMEOUT_MS,
  ): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no such message within ${timeoutMs} ms among ${this.messages.length}`));
      }, timeoutMs);
      this.look = () => {
        const found = this.messages.find(wanted);
        if (found === undefined) return;
        clearTimeout(timer);
        this.look = () => {};
        resolve(found);
      };
      this.look();
    });
  }

  private append(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) {
      let data = '';
      for (const line of block.split('\n')) {
        const [, field = '', value = ''] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
        if (field === 'retry') this.retryMs = Number(value);
        else if (field === 'data') data += value;
        else throw new Error(`not a field of an event: ${JSON.stringify(line)}`);
      }
      this.messages.push(JSON.parse(data) as Record<string, unknown>);
    }
    this.look();
  }
}
