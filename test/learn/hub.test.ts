/** The hub in a real browser: map, decision tree, plots; it follows the learner and contacts nothing else. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LEARN_PHASES, phaseNamed, stepsOf } from '../../src/learn/catalogue.ts';
import { SYMPTOMS, type Symptom } from '../../src/learn/symptoms.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { PHASES } from '../../src/phases.ts';
import { openBrowser } from '../support/browser.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { requireTool } from '../support/tools.ts';
import { Clone } from './clone.ts';

const leaves = (symptoms: readonly Symptom[]): Symptom[] =>
  symptoms.flatMap((symptom) => (symptom.causes === undefined ? [symptom] : leaves(symptom.causes)));

describe('the decision tree', () => {
  it('ends at phases of the journey, and names metrics that exist', () => {
    const documented = readFileSync(join(ROOT, 'docs/operating.md'), 'utf8');
    const phases = new Set(PHASES.map(({ number }) => String(number)));
    const reached = new Set<string>();
    for (const { phase, symptom, shows } of leaves(SYMPTOMS)) {
      assert.ok(phase !== undefined && phases.has(phase), symptom);
      reached.add(phase);
      for (const [, name = ''] of shows.matchAll(/`([a-z]+_[a-z_]+)`/g)) {
        assert.ok(documented.includes(`\`${name}\``), `${symptom}: ${name}`);
      }
    }
    for (const number of ['1', '2', '3', '4', '5', '6']) assert.ok(reached.has(number), `phase ${number}`);
  });
});

/** Runs as `learn bench` keeps them, each of which takes 15 s to measure. */
function addRuns(path: string): void {
  const figure = (median: number) => ({ median, min: median, max: median });
  const state = JSON.parse(readFileSync(path, 'utf8')) as { runs: unknown[] };
  for (const [phase, unit, before, yours, reference] of [
    ['5', 'ns a record, CPU', 65, 34, 13],
    ['6', 'µs a request, CPU', 30_000, 0.05, 0.04],
  ] as const) {
    const row = { name: 'first', before: figure(before), yours: figure(yours), reference: figure(reference) };
    state.runs.push({ at: '2026-01-01T00:00:00.000Z', phase, guess: 40, unit, rows: [row] });
  }
  writeFileSync(path, JSON.stringify(state));
}

describe('the hub', { skip: requireTool('chromium') || requireTool('git') }, () => {
  const owner = suiteOwner();
  const clone = new Clone(owner);

  it('shows phases, tree and runs, and follows a reset', async () => {
    clone.learn('start', '5');
    // Not the first step: the page adds up the minutes of those that are open, wherever they are.
    assert.equal(clone.learn('solution', '5.2', '--yes').code, 0);
    const minutes = stepsOf(ROOT, phaseNamed('5'))
      .filter(({ id }) => id !== '5.2')
      .reduce((sum, step) => sum + step.minutes, 0);
    addRuns(join(clone.root, '.learn/state.json'));
    const hub = clone.follow(owner, 'hub', '--port', '0');
    const [, url = ''] = /(http:\S+)/.exec(await hub.next('Ctrl-C')) ?? [];
    const browser = await openBrowser(owner);
    const page = await browser.newPage();
    const requested: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requested.push(request.url()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(url);
    await page.locator('#phase-5 .passed, #phase-5 .given').first().waitFor();
    assert.equal(await page.locator('#map > li').count(), LEARN_PHASES.length);
    assert.match(
      (await page.locator('#phase-5').textContent()) ?? '',
      new RegExp(`1 of 8 steps, about ${minutes} minutes left`),
    );
    assert.equal(await page.locator('#phase-5').getAttribute('aria-current'), 'step');
    await page.locator('#runs-5 canvas').waitFor();
    await page.locator('#runs-6 canvas').waitFor();
    const titles = await page.locator('#runs h3').allTextContents();
    assert.deepEqual(titles, [
      'phase 6: first, µs a request, CPU, logarithmic',
      'phase 5: first, ns a record, CPU',
    ]);
    const first = page.locator('#tree > details').first();
    await first.locator('summary').first().click();
    await first.locator('details summary').first().click();
    await first.locator('details a').first().click();
    assert.match(page.url(), /#phase-1$/);
    clone.learn('reset', '5');
    await page.locator('#phase-5', { hasText: '0 of 8 steps' }).waitFor();
    assert.ok((await first.getAttribute('open')) !== null, 'the tree stays open');
    assert.deepEqual(
      requested.filter((address) => !address.startsWith(url) && !address.startsWith('data:')),
      [],
    );
    assert.deepEqual(complaints, []);
  });
});
