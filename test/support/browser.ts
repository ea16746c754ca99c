/** Debian's Chromium, driven by playwright-core: headless, with its own profile, on loopback only. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { EVENT_TIMEOUT_MS } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { memoryDirectory } from './server-process.ts';

const ARTIFACTS = fileURLToPath(new URL('../../../.artifacts/live-page/', import.meta.url));

/** WCAG 2.2, criterion 1.4.3, for text of any size. */
const CONTRAST_MIN = 4.5;
const TEXT_PX_MIN = 16;
const PHONE = { width: 390, height: 844 };
const VIEWPORTS = [PHONE, { width: 768, height: 1024 }, { width: 1200, height: 900 }];

export async function openBrowser(owner: Owner): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext(memoryDirectory(owner), {
    timeout: EVENT_TIMEOUT_MS,
    executablePath: '/usr/bin/chromium',
    // Its shared memory is in there: a disk that stands still would stop the browser.
    env: { ...process.env, TMPDIR: memoryDirectory(owner) } as Record<string, string>,
    headless: true,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
    viewport: { width: 1200, height: 900 },
  });
  context.setDefaultTimeout(EVENT_TIMEOUT_MS);
  onEnd(owner, () => context.close());
  return context;
}

/** Saves a screenshot as an artefact of the test run. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(ARTIFACTS, { recursive: true });
  await page.screenshot({ path: `${ARTIFACTS}${name}.png`, fullPage: true });
}

/** Runs in the page: text whose contrast to its background or whose size is too low. */
const UNREADABLE = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== '');
    if (!own || element.tagName === 'SCRIPT' || element.clientWidth + element.getClientRects().length === 0) continue;
    const style = getComputedStyle(element);
    const lights = [luminance(style.color), luminance(ground(element))].sort((a, b) => b - a);
    const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
    const size = parseFloat(style.fontSize);
    if (contrast < ${CONTRAST_MIN} || size < ${TEXT_PX_MIN}) {
      found.push(element.textContent + ': ' + contrast.toFixed(2) + ', ' + size + ' px');
    }
  }
  return found;
})()`;

/**
 * Light and dark, from a phone to a desk: nothing scrolls sideways, and all text is large and has contrast. Saves what a phone
 * shows.
 * @param drawn resolves once the page has followed a new size
 */
export async function assertReadable(page: Page, name: string, drawn = async () => {}): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const viewport of VIEWPORTS) {
      await page.setViewportSize(viewport);
      const [scrolls, fits] = await page.evaluate<[number, number]>(
        '[document.documentElement.scrollWidth, innerWidth]',
      );
      assert.ok(scrolls <= fits, `${colorScheme} at ${viewport.width}: ${scrolls} px wide`);
      assert.deepEqual(await page.evaluate<string[]>(UNREADABLE), [], `${colorScheme}, ${viewport.width}`);
    }
    await page.setViewportSize(PHONE);
    await drawn();
    await screenshot(page, `${name}-${colorScheme}`);
  }
}
