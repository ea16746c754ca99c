/**
 * A client that repeats each request with one idempotency key until it is answered, as docs/api.md advises: up to a
 * number of tries, across resets and restarts of the server.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type HttpResponse, postRequest, RawConnection } from './raw-http.ts';

const RETRIED: readonly number[] = [409, 429, 503, 504];

export interface KeyedClientOptions {
  /** The port of the server once it runs; it changes with each restart. */
  readonly port: () => Promise<number>;
  readonly tries: number;
  /** Pause before another try. */
  readonly pauseMs: number;
}

export class KeyedClient {
  /** Tries beyond the first of each request, and responses that repeated an earlier one. */
  repeats = 0;
  replays = 0;
  private readonly options: KeyedClientOptions;
  private connection: RawConnection | null = null;

  constructor(options: KeyedClientOptions) {
    this.options = options;
  }

  /**
   * @param loses the first response is lost on its way
   * @returns the last response, or null when no try got one
   */
  async send(
    body: string,
    headers: Readonly<Record<string, string>>,
    loses = false,
  ): Promise<HttpResponse | null> {
    let response: HttpResponse | null = null;
    for (let tries = 1; tries <= this.options.tries; tries++) {
      if (tries > 1) {
        this.repeats++;
        await delay(this.options.pauseMs);
      }
      response = await this.attempt(body, headers, loses && tries === 1);
      if (response === null || RETRIED.includes(response.status)) continue;
      if (response.header('idempotency-replayed') === 'true') this.replays++;
      return response;
    }
    return response;
  }

  private async attempt(
    body: string,
    headers: Readonly<Record<string, string>>,
    loses: boolean,
  ): Promise<HttpResponse | null> {
    try {
      this.connection ??= await RawConnection.open(await this.options.port());
      const response = await this.connection.request(postRequest(body, { headers }));
      if (response.header('connection') === 'close') this.close();
      return loses ? null : response;
    } catch {
      this.close();
      return null;
    }
  }

  close(): void {
    this.connection?.close();
    this.connection = null;
  }
}
