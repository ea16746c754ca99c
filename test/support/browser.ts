/** Debian's Chromium, driven by playwright-core: headless, with its own profile, on loopback only. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { type Owner, onEnd } from './clean-up.ts';
import { temporaryDirectory } from './server-process.ts';

const ARTIFACTS = fileURLToPath(new URL('../../../.artifacts/live-page/', import.meta.url));

export async function openBrowser(owner: Owner): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext(temporaryDirectory(owner, 'chromium-'), {
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
    viewport: { width: 1200, height: 900 },
  });
  onEnd(owner, () => context.close());
  return context;
}

/** Saves a screenshot as an artefact of the test run. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(ARTIFACTS, { recursive: true });
  await page.screenshot({ path: `${ARTIFACTS}${name}.png`, fullPage: true });
}
