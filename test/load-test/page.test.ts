import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { renderPage } from '../../load-test/report/page.ts';

const CHART = {
  title: 'Latency </script> & more',
  x: [1, 2, 3],
  xLabel: 'seconds',
  yLabel: 'ms',
  series: [{ label: 'p99 <i>', values: [1, null, 3] }],
} as const;

const html = renderPage({
  title: 'A <b>title</b>',
  intro: 'One `a < b`.',
  sections: [
    {
      heading: 'Numbers & such',
      text: ['Text with "quotes".'],
      callouts: [{ tone: 'bad', text: 'Went <wrong>.' }],
      table: { head: ['name', 'value'], rows: [['<x>', '1']] },
      charts: [CHART],
    },
  ],
});

describe('a page', () => {
  it('needs no other file and no network', () => {
    assert.doesNotMatch(html, /\s(?:src|href|action|data)\s*=|url\(|@import|fetch\(|XMLHttpRequest|import\(/);
    assert.match(html, /var uPlot=function/);
    assert.match(html, /\.uplot/);
  });

  it('shows texts as they are', () => {
    for (const text of [
      'A &lt;b&gt;title&lt;/b&gt;',
      '<code>a &lt; b</code>',
      'Went &lt;wrong&gt;.',
      '<td>&lt;x&gt;</td>',
    ]) {
      assert.ok(html.includes(text), text);
    }
  });

  it('carries the data of its charts, which cannot end their script early', () => {
    const [, json = ''] = /<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(html) ?? [];
    assert.deepEqual(JSON.parse(json), [CHART]);
    assert.match(html, /data-chart="0"/);
  });

  it('ends every element it begins', () => {
    for (const tag of ['script', 'style', 'section', 'figure', 'table', 'main', 'html']) {
      const begun = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length;
      assert.equal(html.match(new RegExp(`</${tag}>`, 'g'))?.length, begun, tag);
    }
  });
});
