/** The routes of one worker: what it serves, and what it rejects before it looks at a body. */
import type { Gate } from '../admission/gate.ts';
import { type Control, READY } from '../base/control.ts';
import type { HtmlPage } from '../live/page.ts';
import { UNAVAILABLE, type UnavailableReason } from '../telemetry/unavailable.ts';
import type { Exchange } from './exchange.ts';
import { FRAMING_OK, HEADERS_TOO_LARGE, HeaderScan } from './header-scan.ts';
import type { LiveStreams } from './live-streams.ts';
import type { Outbox } from './outbox.ts';
import type { PeerAddresses } from './peer-addresses.ts';
import type { Receiver } from './receiver.ts';
import type { RequestSink } from './request-sink.ts';
import { headerLine, type Page, prepareText, retryAfterLine, writeContinue } from './response.ts';
import type { App, HttpRequest, HttpResponse, RouteHandler } from './uws.ts';

export interface RouteSources {
  readonly control: Control;
  /** Renders GET /metrics for an Accept header, on the main thread. */
  readonly scrape: (accept: string) => Promise<Page>;
  /** Body of GET /health. */
  readonly health: () => Record<string, unknown>;
  /** GET /, and the streams that feed it. */
  readonly livePage: HtmlPage;
  readonly streams: LiveStreams;
  /** Learns of connections; null if nobody needs their addresses. */
  readonly addresses: PeerAddresses | null;
}

export interface RoutesConfig {
  readonly maxHeaderBytes: number;
  /** Lower-case name of the header that identifies clients; '' when the token or the address does. */
  readonly clientHeader: string;
}

export class Routes {
  private readonly receiver: Receiver;
  private readonly outbox: Outbox;
  private readonly gate: Gate;
  private readonly sources: RouteSources;
  private readonly config: RoutesConfig;
  private readonly scan: HeaderScan;

  constructor(
    receiver: Receiver,
    { gate, outbox }: RequestSink,
    sources: RouteSources,
    config: RoutesConfig,
  ) {
    this.receiver = receiver;
    this.outbox = outbox;
    this.gate = gate;
    this.sources = sources;
    this.config = config;
    this.scan = new HeaderScan(config.maxHeaderBytes, config.clientHeader);
  }

  register(app: App): void {
    const { addresses } = this.sources;
    if (addresses !== null) app.filter(addresses.changed);
    app.post('/metrics', (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange !== null) this.receiver.receive(exchange, this.scan);
    });
    this.readable(app, '/', 'GET, HEAD', (exchange) => this.serveLivePage(exchange));
    this.stream(app);
    this.readable(app, '/metrics', 'GET, HEAD, POST', (exchange) => this.serveMetrics(exchange));
    this.readable(app, '/health', 'GET, HEAD', (exchange) => this.serveHealth(exchange));
    this.readable(app, '/ready', 'GET, HEAD', (exchange) => this.serveReady(exchange));
    app.any('/*', (response, request) => {
      const path = request.getUrl();
      const exchange = this.begin(response, request);
      if (exchange === null) return;
      exchange.headOnly = isHead(request);
      this.outbox.enqueueProblem(exchange, {
        status: 404,
        code: 'not_found',
        detail: 'Nothing is served at this path. POST metrics to /metrics.',
        members: { path: path.slice(0, 200) },
      });
      this.receiver.discard(exchange, this.scan);
    });
  }

  /** Serves GET and HEAD on `path`; every other method gets 405. */
  private readable(app: App, path: string, allow: string, serve: (exchange: Exchange) => void): void {
    const handler = (headOnly: boolean): RouteHandler => {
      return (response, request) => {
        const exchange = this.begin(response, request);
        if (exchange === null) return;
        exchange.headOnly = headOnly;
        // The length of the body can be reported only by an answer that keeps the connection: see response.ts.
        if (headOnly) exchange.close = false;
        serve(exchange);
      };
    };
    app.get(path, handler(false));
    app.head(path, handler(true));
    this.rejectOthers(app, path, allow);
  }

  /** GET /live, without HEAD: the stream has no length to report. */
  private stream(app: App): void {
    app.get('/live', (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange !== null) this.sources.streams.open(exchange);
    });
    this.rejectOthers(app, '/live', 'GET');
  }

  private rejectOthers(app: App, path: string, allow: string): void {
    app.any(path, (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange === null) return;
      exchange.headOnly = isHead(request);
      this.outbox.enqueueProblem(exchange, {
        status: 405,
        code: 'method_not_allowed',
        detail: `${path} answers ${allow}.`,
        lines: headerLine('Allow', allow),
      });
      this.receiver.discard(exchange, this.scan);
    });
  }

  /** Opens an exchange and checks the headers; null when it has rejected the request. */
  private begin(response: HttpResponse, request: HttpRequest): Exchange | null {
    const exchange = this.receiver.open(response);
    const verdict = this.scan.scan(request);
    exchange.close = this.scan.closes;
    exchange.closesAlone = this.scan.closesAlone;
    // Also before a refusal, as uWebSockets.js does: Java's client before 20 waits for ever if it gets no 100.
    if (this.scan.awaitsContinue && this.scan.hasBody && !isRead(request)) writeContinue(exchange);
    if (verdict === FRAMING_OK) return exchange;
    exchange.headOnly = isHead(request);
    if (verdict === HEADERS_TOO_LARGE) {
      this.outbox.enqueueProblem(exchange, {
        status: 431,
        code: 'headers_too_large',
        detail: `Nothing was stored: the header list may have at most ${this.config.maxHeaderBytes} bytes.`,
        members: { limit: this.config.maxHeaderBytes },
        close: true,
      });
      this.receiver.discard(exchange, this.scan);
    } else {
      this.outbox.enqueueProblem(exchange, {
        status: 400,
        code: 'framing',
        detail: `Nothing was stored: ${this.scan.problem}.`,
        members: { offset: 0, field: 'headers', reason: this.scan.problem },
        close: true,
      });
    }
    return null;
  }

  private serveLivePage(exchange: Exchange): void {
    const { body, lines } = this.sources.livePage;
    prepareText(exchange, 200, 'text/html; charset=utf-8', body);
    exchange.head += lines;
    this.outbox.enqueue(exchange);
  }

  private serveMetrics(exchange: Exchange): void {
    this.sources.scrape(this.scan.accept).then(({ contentType, body }) => {
      prepareText(exchange, 200, contentType, body);
      exchange.head += NEGOTIATED_LINES;
      this.outbox.enqueue(exchange);
    });
  }

  private serveHealth(exchange: Exchange): void {
    prepareText(exchange, 200, 'application/json', JSON.stringify(this.sources.health()));
    exchange.head += NOT_CACHED_LINE;
    this.outbox.enqueue(exchange);
  }

  private serveReady(exchange: Exchange): void {
    const starting = this.sources.control.lifecycle !== READY ? 'recovering' : null;
    const reason = this.gate.stateReason ?? starting;
    if (reason !== null) return this.outbox.enqueueProblem(exchange, notReady(reason));
    prepareText(exchange, 200, 'application/json', '{"ready":true}');
    exchange.head += NOT_CACHED_LINE;
    this.outbox.enqueue(exchange);
  }
}

/** A cache on the way must not answer for this server: what these routes say is true for the moment only. */
const NOT_CACHED_LINE = headerLine('Cache-Control', 'no-store');
const NEGOTIATED_LINES = NOT_CACHED_LINE + headerLine('Vary', 'Accept');

const isRead = (request: HttpRequest): boolean => ['get', 'head'].includes(request.getMethod());

const isHead = (request: HttpRequest): boolean => request.getMethod() === 'head';

function notReady(reason: UnavailableReason) {
  return {
    status: 503,
    code: 'not_ready',
    detail: `The server does not accept metrics now: ${UNAVAILABLE[reason].detail}`,
    members: { ready: false, reason },
    lines: retryAfterLine(reason) + NOT_CACHED_LINE,
  } as const;
}
