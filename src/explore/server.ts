/** Serves the page and its JSON with node:http, which is fast enough for a few readers. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TlsFiles } from '../auth/tls-files.ts';
import type { TokenTable } from '../auth/token-table.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import type { HtmlPage } from '../live/page.ts';
import { csvFormat } from '../query/output/csv.ts';
import { CHALLENGE, isKnownHost, mayRead } from './access.ts';
import type { Answer, Answers, Waiter } from './answers.ts';
import { nameOf, plotQuestionOf } from './request.ts';

export interface ExploreOptions {
  readonly host: string;
  readonly port: number;
  /** Null: nobody needs a token. */
  readonly tokens: TokenTable | null;
  /** Null: plain HTTP. */
  readonly tls: TlsFiles | null;
  readonly page: HtmlPage;
  readonly answers: Answers;
}

export interface ExploreServer {
  readonly port: number;
  setTokens(tokens: TokenTable | null): void;
  /** Reads the certificate's files again. */
  replaceCertificate(): void;
}

/** Node.js closes after 5 s, just as a reader asks for the next page. */
const KEEP_ALIVE_MS = 65_000;

/** @throws MetricsStreamError PORT_IN_USE or BIND_FAILED */
export async function startExplore(options: ExploreOptions): Promise<ExploreServer> {
  const { host, port, tls } = options;
  const site = new Site(options);
  const serve = (request: IncomingMessage, response: ServerResponse): void =>
    void site.serve(request, response);
  const server = tls === null ? http.createServer(serve) : https.createServer(contextOf(tls), serve);
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    throw new MetricsStreamError(
      isTaken ? 'PORT_IN_USE' : 'BIND_FAILED',
      `cannot listen on ${host}:${port}: ${systemErrorText(error)}; give another --port or --host`,
      { cause: error },
    );
  }
  return {
    port: (server.address() as AddressInfo).port,
    setTokens: (tokens) => site.setTokens(tokens),
    replaceCertificate: () => {
      if (tls !== null) (server as https.Server).setSecureContext(contextOf(tls));
    },
  };
}

function contextOf({ certFile, keyFile }: TlsFiles): https.ServerOptions & { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' };
}

const JSON_TYPE = 'application/json';
const PROBLEM_TYPE = 'application/problem+json';
const CSV_HEADERS = {
  'Content-Type': 'text/csv; charset=utf-8',
  'Content-Disposition': 'attachment; filename="plot.csv"',
};
/** Ends the download of a client that reads nothing for this long. */
const STALL_MS = 30_000;

class Site {
  private readonly options: ExploreOptions;
  private tokens: TokenTable | null;

  constructor(options: ExploreOptions) {
    this.options = options;
    this.tokens = options.tokens;
  }

  setTokens(tokens: TokenTable | null): void {
    this.tokens = tokens;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    const problem = this.problemOf(request, response);
    if (problem !== null) return this.sendProblem(response, ...problem);
    const url = urlOf(request);
    if (url === null) return this.sendProblem(response, 400, 'The path is not valid. The page is at /.');
    const { pathname, searchParams } = url;
    const waiter = waiterOf(response);
    try {
      if (pathname === '/') this.sendPage(response);
      else if (pathname === '/api/plot.csv') await this.sendCsv(searchParams, response, waiter);
      else await this.sendAnswer(pathname, searchParams, response, waiter);
    } catch (error) {
      if (!waiter.signal.aborted) this.sendError(response, error);
    }
  }

  /** Status and reason for a request that is refused before its path matters, or null. */
  private problemOf(request: IncomingMessage, response: ServerResponse): [number, string] | null {
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return [405, 'Use GET.'];
    }
    if (!mayRead(this.tokens, request)) {
      response.setHeader('WWW-Authenticate', CHALLENGE);
      return [401, 'Give a token of --tokens-file as the password, or as bearer token.'];
    }
    if (this.tokens === null && !isKnownHost(request, this.options.host))
      return [421, 'This host name is unknown here. Use the address, or give the name with --host.'];
    return null;
  }

  private sendPage(response: ServerResponse): void {
    const { headers, body } = this.options.page;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    send(response, 200, 'text/html; charset=utf-8', body);
  }

  private async sendAnswer(
    path: string,
    parameters: URLSearchParams,
    response: ServerResponse,
    waiter: Waiter,
  ): Promise<void> {
    const answer = await this.answer(path, parameters, waiter);
    if (answer === null) this.sendProblem(response, 404, 'Unknown path. The page is at /.');
    else send(response, 200, JSON_TYPE, JSON.stringify(answer));
  }

  private async answer(path: string, parameters: URLSearchParams, waiter: Waiter): Promise<Answer | null> {
    const { answers } = this.options;
    switch (path) {
      case '/api/names':
        if (parameters.has('refresh')) await answers.refresh();
        return await answers.names(waiter);
      case '/api/series':
        return await answers.series(nameOf(parameters), waiter);
      case '/api/plot':
        return await answers.plot(plotQuestionOf(parameters, Date.now()), waiter);
      default:
        return null;
    }
  }

  private async sendCsv(
    parameters: URLSearchParams,
    response: ServerResponse,
    waiter: Waiter,
  ): Promise<void> {
    const question = plotQuestionOf(parameters, Date.now());
    await this.options.answers.csv(question, waiter, async (columns, chunk) => {
      const format = csvFormat(columns);
      const isFirst = !response.headersSent;
      // Only now: an error before the first row is not a download.
      if (isFirst) response.writeHead(200, CSV_HEADERS);
      const text = (isFirst ? format.head() : '') + (chunk === null ? format.end() : format.rows(chunk));
      if (text === '' || response.write(text)) return;
      // The next question waits for this answer, so a client that stops reading must not hold it.
      const timer = setTimeout(() => response.destroy(), STALL_MS);
      await once(response, 'drain', { signal: waiter.signal }).finally(() => clearTimeout(timer));
    });
    response.end();
  }

  private sendError(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      // Cut the transfer off: half a file must not look whole.
      response.destroy();
      return;
    }
    const isClients = error instanceof MetricsStreamError && error.code === 'CONFIG_INVALID';
    this.sendProblem(response, isClients ? 400 : 500, (error as Error).message);
  }

  private sendProblem(response: ServerResponse, status: number, detail: string): void {
    const problem = { type: 'about:blank', title: http.STATUS_CODES[status], status, detail };
    send(response, status, PROBLEM_TYPE, JSON.stringify(problem));
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type });
  response.end(body);
}

/** Null for a target that is no URL, such as `//`. */
function urlOf({ url = '/' }: IncomingMessage): URL | null {
  const base = 'http://localhost';
  return URL.canParse(url, base) ? new URL(url, base) : null;
}

/** Aborted when the client is gone before it has the whole answer. */
function waiterOf(response: ServerResponse): Waiter {
  const controller = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller;
}
