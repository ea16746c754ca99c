/** The live page in many tabs, behind proxies, and without its server: in a real browser. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { createGzip } from 'node:zlib';
import type { BrowserContext, Page, Request } from 'playwright-core';
import { freePort } from '../../load-test/free-port.ts';
import { eventually } from '../support/assertions.ts';
import { openBrowser } from '../support/browser.ts';
import { EventStream } from '../support/event-stream.ts';
import { startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const TIMEOUT_MS = 180_000;
/** One more than the connections that a browser opens to one server. */
const TABS = 7;
const STREAMS_MAX = 64;

const isLive = (page: Page) =>
  eventually('the page is live', async () => (await page.textContent('#connection')) === 'live', TIMEOUT_MS);

const detailMatches = (page: Page, pattern: RegExp) =>
  eventually(
    `the page says ${pattern}`,
    async () => pattern.test((await page.textContent('#connection-detail')) ?? ''),
    TIMEOUT_MS,
  );

const points = async (page: Page) => Number(await page.getAttribute('#accepted-plot', 'data-points'));

/** Waits until the page has drawn further points. */
async function getsMessages(page: Page): Promise<void> {
  const before = await points(page);
  await eventually('a message arrives', async () => (await points(page)) > before, TIMEOUT_MS);
}

/** Hides or shows a page as another window or tab in front of it would; headless browsers never hide one. */
const setHidden = (page: Page, hidden: boolean) =>
  page.evaluate(`(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} });
    document.dispatchEvent(new Event('visibilitychange'));
  })()`);

/** The streams that the browser has open, by the tab that reads them. */
class OpenStreams {
  private readonly pages: Page[] = [];

  constructor(browser: BrowserContext) {
    browser.on('request', (sent) => {
      if (sent.url().endsWith('/live')) this.pages.push(sent.frame().page());
    });
    const ended = (request: Request) => {
      if (request.url().endsWith('/live')) this.forget(request.frame().page());
    };
    browser.on('requestfinished', ended);
    browser.on('requestfailed', ended);
  }

  /** Waits until exactly one tab has a stream. */
  async onlyReader(): Promise<Page> {
    await eventually('one tab has a stream', () => this.pages.length === 1, TIMEOUT_MS);
    return this.pages[0]!;
  }

  async none(): Promise<void> {
    await eventually('no tab has a stream', () => this.pages.length === 0, TIMEOUT_MS);
  }

  forget(page: Page): void {
    const at = this.pages.indexOf(page);
    if (at >= 0) this.pages.splice(at, 1);
  }
}

/** A reverse proxy that passes each response through `answer`; returns its URL. */
async function startProxy(
  t: TestContext,
  port: number,
  answer: (upstream: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const proxy = createServer((incoming, response) => {
    const { url = '/', method = 'GET', headers } = incoming;
    const forwarded = request({ host: '127.0.0.1', port, path: url, method, headers }, (upstream) =>
      answer(upstream, response),
    );
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`;
}

const passOn = (upstream: IncomingMessage, response: ServerResponse) => {
  response.writeHead(upstream.statusCode ?? 502, upstream.headers);
  upstream.pipe(response);
};

describe('the live page', { skip: requireTool('chromium') }, () => {
  let browser: BrowserContext;
  const cleanups: (() => unknown)[] = [];
  before(async () => {
    browser = await openBrowser({ after: (cleanup) => void cleanups.push(cleanup) });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  it(`is live in ${TABS} tabs over one stream, which another tab continues when its reader closes`, async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const streams = new OpenStreams(browser);
    const tabs: Page[] = [];
    for (let k = 0; k < TABS; k++) {
      const tab = await browser.newPage();
      t.after(() => tab.close());
      tabs.push(tab);
      await tab.goto(`${server.url}/`);
    }
    for (const tab of tabs) await isLive(tab);
    const reader = await streams.onlyReader();
    const others = tabs.filter((tab) => tab !== reader);
    await reader.close();
    streams.forget(reader);
    const next = await streams.onlyReader();
    assert.notEqual(next, reader);
    await Promise.all(others.map(getsMessages));
  });

  it('releases its stream while it is hidden, and catches up when it is shown', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const streams = new OpenStreams(browser);
    const first = await browser.newPage();
    const second = await browser.newPage();
    for (const tab of [first, second]) {
      t.after(() => tab.close());
      await tab.goto(`${server.url}/`);
      await isLive(tab);
    }
    const reader = await streams.onlyReader();
    const other = reader === first ? second : first;
    await setHidden(reader, true);
    await eventually('the other tab reads', async () => (await streams.onlyReader()) === other, TIMEOUT_MS);
    await getsMessages(other);
    await setHidden(other, true);
    await streams.none();
    await setHidden(reader, false);
    await getsMessages(reader);
    assert.equal(await reader.textContent('#connection'), 'live');
  });

  it('says that the server cannot be reached, or refuses', async (t) => {
    const args = ['--workers', '1', '--port', String(await freePort())];
    const server = await startServer(t, { args });
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${server.url}/`);
    await isLive(page);
    await server.stop();
    await detailMatches(page, /^The server cannot be reached\.$/);
    assert.equal(await page.textContent('#connection'), 'reconnecting…');
    const next = await startServer(t, { args });
    await isLive(page);
    assert.equal(await page.textContent('#connection-detail'), '');
    await setHidden(page, true);
    const readers: EventStream[] = [];
    // The server learns a moment later that the page has left.
    await eventually('every place is taken', async () => {
      const reader = await EventStream.open(t, next.port);
      if (reader.response.statusCode === 200) readers.push(reader);
      else reader.close();
      return readers.length === STREAMS_MAX;
    });
    await setHidden(page, false);
    await detailMatches(page, /^The answer is 503\. Too many live streams are open/);
    for (const reader of readers) reader.close();
    await isLive(page);
  });

  it('is live behind a proxy that compresses what it may', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const url = await startProxy(t, server.port, (upstream, response) => {
      if (/no-transform/.test(upstream.headers['cache-control'] ?? '')) return passOn(upstream, response);
      const { 'content-length': _, ...headers } = upstream.headers;
      response.writeHead(upstream.statusCode ?? 502, { ...headers, 'content-encoding': 'gzip' });
      upstream.pipe(createGzip()).pipe(response);
    });
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(url);
    await isLive(page);
    await getsMessages(page);
  });

  it('says that a proxy compresses the stream against its headers, or holds it back', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    for (const [pattern, holdBack] of [
      [
        /A proxy compresses the stream \(gzip\) and may hold the messages back/,
        (upstream: IncomingMessage, response: ServerResponse) => {
          response.writeHead(200, { ...upstream.headers, 'content-encoding': 'gzip' });
          response.flushHeaders();
          upstream.pipe(createGzip({ chunkSize: 1 << 20 })).pipe(response);
        },
      ],
      [
        /A proxy may hold the messages back: turn its buffering off for \/live/,
        (upstream: IncomingMessage, response: ServerResponse) => {
          response.writeHead(200, upstream.headers);
          response.flushHeaders();
          upstream.resume();
        },
      ],
      [
        /The answer is text\/html, not an event stream/,
        (upstream: IncomingMessage, response: ServerResponse) => {
          upstream.destroy();
          response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Log in</p>');
        },
      ],
    ] as const) {
      const url = await startProxy(t, server.port, (upstream, response) => {
        const isStream = upstream.headers['content-type'] === 'text/event-stream';
        if (isStream) holdBack(upstream, response);
        else passOn(upstream, response);
      });
      const page = await browser.newPage();
      await page.goto(url);
      await detailMatches(page, pattern);
      await page.close();
    }
  });
});
