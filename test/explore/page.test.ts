/** The explore page in a real browser, over metrics of a real load. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { BrowserContext, Page } from 'playwright-core';
import { eventually } from '../support/assertions.ts';
import { assertReadable, openBrowser, screenshot } from '../support/browser.ts';
import { type ExploreProcess, startExplore } from '../support/explore-process.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { runCli, startServer } from '../support/server-process.ts';
import { segmentPaths } from '../support/stored.ts';
import { requireTool } from '../support/tools.ts';

const TIMEOUT_MS = 180_000;
/** Two hours of samples, ten seconds apart. */
const BASE_MS = Date.UTC(2026, 10, 28, 9, 0);
const STEPS = 720;
const CLIENTS = 4;

/** The samples that one client sends for one step: its three hosts, in its region. */
function samplesOf(client: number, step: number) {
  const timestamp = BASE_MS + step * 10_000;
  return [0, 1, 2].flatMap((host) => {
    const tags = { host: `web-${client * 3 + host}`, region: ['eu', 'us', 'ap', 'sa'][client]! };
    const wave = Math.sin(step / 90 + client) * 15;
    const jitter = ((step * 7919 + client * 31 + host * 17) % 100) / 10;
    return [
      { name: 'cpu.usage', type: 'gauge', value: 40 + wave + jitter, timestamp, tags },
      {
        name: 'http.latency',
        type: 'histogram',
        value: 50 + wave + jitter ** 2 / 5 + client * 12,
        timestamp,
        tags,
      },
      { name: 'http.requests', type: 'counter', value: step * (50 + client * 20), timestamp, tags },
    ];
  });
}

/** Several clients post at once, one request after the other. */
async function load(port: number): Promise<void> {
  const client = async (_: unknown, index: number): Promise<void> => {
    const connection = await RawConnection.open(port);
    for (let step = 0; step < STEPS; step++) {
      const body = JSON.stringify({ metrics: samplesOf(index, step) });
      assert.equal((await connection.request(postRequest(body))).status, 200);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

describe('the explore page', { skip: requireTool('chromium') }, () => {
  const cleanups: (() => unknown)[] = [];
  const owner = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
  const requested: string[] = [];
  const complaints: string[] = [];
  let explorer: ExploreProcess;
  let browser: BrowserContext;
  let page: Page;

  before(async () => {
    const args = ['--rate-limit', '0', '--ack', 'written', '--segment-bytes', '1m'];
    const server = await startServer(owner, { args });
    await load(server.port);
    await server.stop();
    // The closed segments: the page then shows what comes from the archive and from the last segment.
    const archived = await runCli([
      'archive',
      '--once',
      '--delete-segments',
      '--priority',
      'normal',
      '--data-dir',
      server.dataDir,
    ]);
    assert.equal(archived.code, 0, archived.stderr);
    assert.equal(segmentPaths(server.dataDir).length, 1);
    explorer = await startExplore(owner, server.dataDir);
    browser = await openBrowser(owner);
    page = await browser.newPage();
    page.on('request', (request) => requested.push(request.url()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(`${explorer.url}/`);
    await drawn();
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  /** Waits for a plot of what the address says. */
  const drawn = () =>
    eventually(
      'a plot',
      () =>
        page.evaluate<boolean>(
          `Number(document.getElementById('plot').dataset.points) > 0 && !document.body.classList.contains('loading')`,
        ),
      TIMEOUT_MS,
    );
  const text = async (selector: string) => (await page.textContent(selector)) ?? '';
  const range = () => {
    const parameters = new URLSearchParams(new URL(page.url()).hash.slice(1));
    return { fromMs: Number(parameters.get('from')), toMs: Number(parameters.get('to')) };
  };
  const rangeBecomes = async (what: string, holds: (now: { fromMs: number; toMs: number }) => boolean) => {
    await eventually(what, () => holds(range()), TIMEOUT_MS);
    await drawn();
  };

  it('lists the names of the load with their counts, and plots the first', async () => {
    assert.match(await text('#facts'), /^[\d,]+ metrics as of /);
    assert.match(await text('#names'), /series, [\d,]+ metrics/);
    assert.equal(await page.locator('#plot canvas').count(), 1);
    await eventually(
      'the series',
      async () => /^Series \(\d+\)$/.test(await text('#series-title')),
      TIMEOUT_MS,
    );
  });

  it('filters names and plots the one chosen', async () => {
    await page.fill('#filter', 'http lat');
    const buttons = page.locator('#names button');
    await eventually('fewer names', async () => (await buttons.count()) === 1, TIMEOUT_MS);
    await buttons.first().click();
    await eventually('the title', async () => (await text('#title')) === 'http.latency', TIMEOUT_MS);
    await drawn();
    await page.fill('#filter', '');
  });

  it('draws a line for each value of a tag, under a condition', async () => {
    await page.selectOption('#mode', 'avg');
    await page.selectOption('#by', 'region');
    await eventually('some lines', async () => (await page.locator('#legend li').count()) > 1, TIMEOUT_MS);
    await drawn();
    const condition = page.locator('#conditions select').first();
    await condition.selectOption({ index: 1 });
    await eventually('one line', async () => (await page.locator('#legend li').count()) === 1, TIMEOUT_MS);
    await condition.selectOption({ index: 0 });
    await eventually('all lines', async () => (await page.locator('#legend li').count()) > 1, TIMEOUT_MS);
    await drawn();
    await screenshot(page, 'explore');
  });

  it('zooms by dragging, buttons and keys, pans, and shows all again', async () => {
    const all = range();
    const wide = all.toMs - all.fromMs;
    const box = (await page.locator('.u-over').boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.25, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await rangeBecomes('half the range', ({ fromMs, toMs }) => Math.abs((toMs - fromMs) / wide - 0.5) < 0.05);
    assert.equal(await page.inputValue('#range'), 'chosen');
    const zoomed = range();
    await page.click('#later');
    await rangeBecomes('a later range', ({ fromMs }) => fromMs > zoomed.fromMs);
    await page.keyboard.press('ArrowLeft');
    await rangeBecomes('the range of before', ({ fromMs }) => Math.abs(fromMs - zoomed.fromMs) < 5);
    await page.keyboard.press('+');
    await rangeBecomes('a quarter', ({ fromMs, toMs }) => toMs - fromMs < wide * 0.3);
    await page.locator('.u-over').dblclick();
    await rangeBecomes('all', ({ fromMs, toMs }) => fromMs === all.fromMs && toMs === all.toMs);
  });

  it('comes back after a reload as the address says', async () => {
    await page.reload();
    await drawn();
    assert.equal(await text('#title'), 'http.latency');
    assert.ok((await page.locator('#legend li').count()) > 1);
  });

  it('copies the SQL, and exports CSV', async () => {
    await browser.grantPermissions(['clipboard-read', 'clipboard-write']);
    // The note stands for a moment only, and a busy machine may look later.
    await page.evaluate(`new MutationObserver((_, observer) => {
      const { textContent, dataset } = document.getElementById('copy');
      if (textContent !== 'Copied') return;
      dataset.noted = 'true';
      observer.disconnect();
    }).observe(document.getElementById('copy'), { childList: true, characterData: true, subtree: true })`);
    await page.click('#copy');
    await eventually(
      'the note',
      async () => (await page.getAttribute('#copy', 'data-noted')) === 'true',
      TIMEOUT_MS,
    );
    const copied = await page.evaluate<string>('navigator.clipboard.readText()');
    assert.match(copied, /^SELECT time_bucket\(/);
    assert.equal(copied, await text('#sql'));
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#csv')]);
    assert.match(readFileSync(await download.path(), 'utf8'), /^time,line,value\n\d{4}-/);
  });

  it('is readable on a phone and in the dark: no sideways scrolling, large text, enough contrast', async () => {
    await page.selectOption('#mode', 'percentiles');
    await eventually('three lines', async () => (await page.locator('#legend li').count()) === 3, TIMEOUT_MS);
    await assertReadable(page, 'explore-phone', drawn);
  });

  it('contacts no other server and reports no error', () => {
    assert.deepEqual(
      requested.filter((url) => !url.startsWith(`${explorer.url}/`) && !url.startsWith('data:')),
      [],
    );
    assert.deepEqual(complaints, []);
  });
});
