/** The routes of one worker: what is served, and what is refused before a body is looked at. */
import { type Control, READY } from '../base/control.ts';
import type { LivePage } from '../live/page.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Exchange, ExchangePool } from './exchange.ts';
import { FRAMING_OK, HEADERS_TOO_LARGE, HeaderScan } from './header-scan.ts';
import type { LiveStreams } from './live-streams.ts';
import type { Answers } from './outbox.ts';
import type { Receiver } from './receiver.ts';
import { headerLine, type Page, retryAfterLine, setText } from './response.ts';
import type { App, HttpRequest, HttpResponse, RouteHandler } from './uws.ts';

export interface RouteSources {
  readonly control: Control;
  /** Renders GET /metrics for an Accept header; done by the main thread. */
  readonly scrape: (accept: string) => Promise<Page>;
  /** Body of GET /health. */
  readonly health: () => Record<string, unknown>;
  /** GET /, and the streams that feed it. */
  readonly livePage: LivePage;
  readonly streams: LiveStreams;
}

export interface RoutesConfig {
  readonly maxHeaderBytes: number;
  /** Lower-case name of the header that identifies clients; '' when their address does. */
  readonly clientHeader: string;
}

export class Routes {
  private readonly exchanges: ExchangePool;
  private readonly answers: Answers;
  private readonly receiver: Receiver;
  private readonly sources: RouteSources;
  private readonly config: RoutesConfig;
  private readonly scan: HeaderScan;

  constructor(
    exchanges: ExchangePool,
    answers: Answers,
    receiver: Receiver,
    sources: RouteSources,
    config: RoutesConfig,
  ) {
    this.exchanges = exchanges;
    this.answers = answers;
    this.receiver = receiver;
    this.sources = sources;
    this.config = config;
    this.scan = new HeaderScan(config.maxHeaderBytes, config.clientHeader);
  }

  register(app: App): void {
    app.post('/metrics', (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange !== null) this.receiver.start(exchange, this.scan);
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
      this.answers.answer(exchange, {
        status: 404,
        code: 'not_found',
        detail: 'There is nothing here; POST metrics to /metrics.',
        members: { path: path.slice(0, 200) },
      });
    });
  }

  /** GET and HEAD on `path`; any other method is answered 405. */
  private readable(app: App, path: string, allow: string, serve: (exchange: Exchange) => void): void {
    const handler = (headOnly: boolean): RouteHandler => {
      return (response, request) => {
        const exchange = this.begin(response, request);
        if (exchange === null) return;
        exchange.headOnly = headOnly;
        serve(exchange);
      };
    };
    app.get(path, handler(false));
    app.head(path, handler(true));
    this.refuseOthers(app, path, allow);
  }

  /** GET /live: a HEAD of it would have no end to leave out. */
  private stream(app: App): void {
    app.get('/live', (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange !== null) this.sources.streams.open(exchange);
    });
    this.refuseOthers(app, '/live', 'GET');
  }

  private refuseOthers(app: App, path: string, allow: string): void {
    app.any(path, (response, request) => {
      const exchange = this.begin(response, request);
      if (exchange === null) return;
      exchange.headOnly = request.getMethod() === 'head';
      this.answers.answer(exchange, {
        status: 405,
        code: 'method_not_allowed',
        detail: `${path} answers ${allow}.`,
        lines: headerLine('Allow', allow),
      });
    });
  }

  /** Opens an exchange and checks the header list; null when it has been refused. */
  private begin(response: HttpResponse, request: HttpRequest): Exchange | null {
    const { counters } = this.answers;
    counters[WORKER.requests_received]! += 1;
    const exchange = this.exchanges.take(response, this.answers.turnMs());
    response.onAborted(exchange.onAborted);
    const verdict = this.scan.scan(request);
    if (verdict === FRAMING_OK) return exchange;
    if (verdict === HEADERS_TOO_LARGE) {
      this.answers.answer(exchange, {
        status: 431,
        code: 'headers_too_large',
        detail: `Nothing was stored: the header list may have at most ${this.config.maxHeaderBytes} bytes.`,
        members: { limit: this.config.maxHeaderBytes },
        close: true,
      });
    } else {
      this.answers.answer(exchange, {
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
    setText(exchange, 200, 'text/html; charset=utf-8', body);
    exchange.head += lines;
    this.answers.answerPrepared(exchange);
  }

  private serveMetrics(exchange: Exchange): void {
    this.sources.scrape(this.scan.accept).then(({ contentType, body }) => {
      setText(exchange, 200, contentType, body);
      this.answers.answerPrepared(exchange);
    });
  }

  private serveHealth(exchange: Exchange): void {
    setText(exchange, 200, 'application/json', JSON.stringify(this.sources.health()));
    this.answers.answerPrepared(exchange);
  }

  private serveReady(exchange: Exchange): void {
    const starting = this.sources.control.lifecycle !== READY ? 'recovering' : null;
    const reason = this.answers.stateRefusal ?? starting;
    if (reason !== null) return this.answers.answer(exchange, notReady(reason));
    setText(exchange, 200, 'application/json', '{"ready":true}');
    this.answers.answerPrepared(exchange);
  }
}

function notReady(reason: string) {
  return {
    status: 503,
    code: 'not_ready',
    detail: `The server does not take metrics now: ${reason}.`,
    members: { ready: false, reason },
    lines: retryAfterLine(reason),
  } as const;
}
