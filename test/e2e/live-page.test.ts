/** The live page in a real browser: it follows the server and contacts nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { BrowserContext, Page } from 'playwright-core';
import { freePort } from '../../load-test/free-port.ts';
import { PHASES } from '../../src/phases.ts';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { assertReadable, openBrowser, screenshot } from '../support/browser.ts';
import { reportCursor } from '../support/cursor-report.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { post } from '../support/raw-http.ts';
import { type ServerProcess, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const TIMEOUT_MS = 180_000;

const textOf = async (page: Page, selector: string) => (await page.textContent(selector)) ?? '';

const textIs = (page: Page, selector: string, text: string) =>
  eventually(
    `${selector} shows ${text}`,
    async () => (await page.locator(selector).allTextContents()).join() === text,
    TIMEOUT_MS,
  );

/** The total that a tile shows. */
const totalOf = async (page: Page, tile: string) =>
  Number((await textOf(page, `#${tile}-note`)).replace(/\D/g, ''));

const showsTotal = (page: Page, tile: string, total: number) =>
  eventually(
    `${tile} shows ${total} in all`,
    async () => /^\d/.test(await textOf(page, `#${tile}-note`)) && (await totalOf(page, tile)) === total,
    TIMEOUT_MS,
  );

const send = (server: ServerProcess, client: string, metrics: number) =>
  post(server.port, bodyOf(Array.from({ length: metrics }, () => metric(uniqueName('live')))), {
    headers: { 'X-Client': client },
  });

interface Watched {
  readonly page: Page;
  readonly requested: string[];
  readonly complaints: string[];
}

/** Opens the live page and records its requests and its errors. */
async function openPage(browser: BrowserContext, server: ServerProcess): Promise<Watched> {
  const page = await browser.newPage();
  const requested: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => requested.push(request.url()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(`${server.url}/`);
  await textIs(page, '#connection', 'live');
  return { page, requested, complaints };
}

describe('the live page', { skip: requireTool('chromium') }, () => {
  let browser: BrowserContext;
  const cleanups: (() => unknown)[] = [];
  before(async () => {
    browser = await openBrowser({ after: (cleanup) => void cleanups.push(cleanup) });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  it('shows the sinks of the log once there are any, with lag and error', async (t) => {
    const server = await startServer(t);
    const { page } = await openPage(browser, server);
    assert.equal(await page.locator('#sinks-card').isHidden(), true);
    // A report that is older than some seconds counts as silence, and the disk may stand still.
    const updatedMs = Date.now() + TIMEOUT_MS;
    reportCursor(server.dataDir, {
      state: 'retrying',
      lagCommits: 7,
      error: 'cannot reach the database',
      updatedMs,
    });
    await textIs(page, '#sinks th', 'postgres');
    await textIs(page, '#sinks td:nth-child(2)', 'retrying');
    await textIs(page, '#sinks td:nth-child(4)', '7');
    await textIs(page, '#sinks-note', 'postgres: cannot reach the database');
  });

  it('shows accepted, rejected and limited metrics, and the limited client', async (t) => {
    const server = await startServer(t, {
      args: [
        '--workers',
        '2',
        '--client-id',
        'header:x-client',
        '--rate-limit',
        '0.01',
        '--rate-burst',
        '20',
      ],
    });
    const { page, requested, complaints } = await openPage(browser, server);
    for (let k = 1; k <= 20; k++) assertAccepted(await send(server, `client-${k % 4}`, k), k);
    await post(server.port, bodyOf([metric(uniqueName('good')), { name: '', value: 1 }]));
    let limited = 0;
    for (let k = 0; k < 40; k++) if ((await send(server, 'greedy', 1)).status === 429) limited += 1;
    const sent = (20 * 21) / 2 + 1 + (40 - limited);
    await showsTotal(page, 'accepted', sent);
    await showsTotal(page, 'rejected', 1);
    await showsTotal(page, 'limited', limited);
    assert.ok(limited > 0);
    assert.equal(await totalOf(page, 'unavailable'), 0);
    await textIs(page, '#clients td:nth-child(3)', String(limited));
    assert.match(await textOf(page, '#clients th'), /^[0-9a-f]{16}$/);
    const { number, name } = PHASES.at(-1)!;
    const facts = await textOf(page, '#facts');
    assert.ok(facts.includes(`phase ${number}, ${name} · 2 workers · ack synced`), facts);
    // It covers the last seconds only.
    await eventually('the latency is shown', async () => {
      await send(server, uniqueName('another'), 1);
      return /^[\d.]+ (µs|ms|s)$/.test(await textOf(page, '#latency-now'));
    });
    assert.equal(await page.locator('.plot canvas').count(), 6);
    await screenshot(page, 'light');
    const { origin } = new URL(server.url);
    assert.deepEqual(
      requested.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:')),
      [],
    );
    assert.deepEqual(complaints, []);
    await page.close();
  });

  it('shows that a breaker opens, the refusals, and that it closes', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, {
      args: ['--workers', '1', '--breaker-failures', '1', '--breaker-open-ms', '100'],
      env: faults.env,
    });
    const { page } = await openPage(browser, server);
    const state = page.locator('#state');
    const stateIs = (name: string) =>
      eventually(
        `the breaker shows as ${name}`,
        async () => (await state.getAttribute('data-breaker')) === name,
        TIMEOUT_MS,
      );
    await stateIs('closed');
    assert.match((await state.getAttribute('class')) ?? '', /good/);
    faults.set({ writeError: 'EIO' });
    let refused = 0;
    while (refused < 10)
      if ((await post(server.port, namesBody(uniqueName('b')))).status === 503) refused += 1;
    await stateIs('open');
    assert.equal(await page.textContent('#breaker'), 'Storage breaker: open');
    assert.match((await state.getAttribute('class')) ?? '', /bad/);
    await showsTotal(page, 'unavailable', refused);
    await screenshot(page, 'breaker-open');
    faults.clear();
    const goesOn = setInterval(
      () => void post(server.port, namesBody(uniqueName('again'))).catch(() => {}),
      50,
    );
    t.after(() => clearInterval(goesOn));
    await stateIs('closed');
    await page.close();
  });

  it('shows that it reconnects while the server restarts, and keeps its plots', async (t) => {
    const args = ['--workers', '1', '--port', String(await freePort())];
    const first = await startServer(t, { args });
    const { page } = await openPage(browser, first);
    const points = async () => Number(await page.getAttribute('#accepted-plot', 'data-points'));
    await post(first.port, namesBody(uniqueName('a'), uniqueName('b')));
    await showsTotal(page, 'accepted', 2);
    const drawn = await points();
    assert.ok(drawn >= 1);
    assert.deepEqual(await first.stop(), { code: 0, signal: null });
    await textIs(page, '#connection', 'reconnecting…');
    const second = await startServer(t, { args, dataDir: first.dataDir });
    await textIs(page, '#connection', 'live');
    await post(second.port, namesBody(uniqueName('c')));
    await showsTotal(page, 'accepted', 1);
    assert.ok((await points()) > drawn, 'the points of before are gone');
    await page.close();
  });

  it('is readable on a phone and in the dark: no sideways scrolling, large text, enough contrast', async (t) => {
    const server = await startServer(t, {
      args: ['--workers', '1', '--client-id', 'header:x-client', '--rate-limit', '0.01', '--rate-burst', '1'],
    });
    const { page } = await openPage(browser, server);
    for (let k = 0; k < 5; k++) await send(server, 'greedy', 30);
    await showsTotal(page, 'accepted', 30);
    await assertReadable(page, 'phone');
    await page.close();
  });
});
