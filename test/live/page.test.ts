/** The live page as one text. test/e2e/live-page.test.ts tests its behaviour in a browser. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { renderLivePage } from '../../src/live/page.ts';
import { readPageFile } from '../../src/live/page-files.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const { body, lines } = renderLivePage();

const inline = (element: 'style' | 'script'): string[] =>
  [...body.matchAll(new RegExp(`<${element}(?: type="module")?>(.*?)</${element}>`, 'gs'))].map(
    ([, text]) => text ?? '',
  );

describe('the live page', () => {
  it('contains its styles and scripts and refers to no other file', () => {
    assert.equal(inline('style').length, 4);
    assert.equal(inline('script').length, 2);
    const markup = body.replaceAll(/<(style|script)[^>]*>.*?<\/\1>/gs, '');
    assert.doesNotMatch(markup, /src=|rel="stylesheet"|https?:(?!\/\/www\.w3\.org)/);
  });

  it('permits exactly these styles and scripts in its Content-Security-Policy', () => {
    for (const element of ['style', 'script'] as const) {
      const hashes = inline(element).map(
        (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
      );
      assert.ok(lines.includes(`${element}-src ${hashes.join(' ')};`), element);
    }
  });

  it('contains every script of src/live/page once, as one module that parses', (t) => {
    const script = inline('script')[1] ?? '';
    assert.doesNotMatch(script, /^(import|export) /m);
    for (const name of readdirSync('src/live/page').filter((file) => file.endsWith('.js'))) {
      const first =
        /^(?:export )?(?:const|class|function|async function) .*$/m.exec(readPageFile(name))?.[0] ?? '';
      assert.equal(script.split(`\n${first.replace('export ', '')}\n`).length, 2, name);
    }
    const file = join(temporaryDirectory(t), 'page.mjs');
    writeFileSync(file, script);
    const { status, stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });
});

describe('a file of the page that is missing', () => {
  it('is an error that names the directory to install', () => {
    assert.throws(() => readPageFile('missing.css'), /install src\/live\/page beside dist/);
  });
});
