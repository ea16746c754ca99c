/**
 * A report as one HTML file that needs nothing else: uPlot, its style and the data are in it, and it asks no server
 * for anything. It follows the reader's light or dark setting and fits a phone.
 */
import { inlineScript, readUplotFile } from '../../src/live/page-files.ts';
import { CHART_SCRIPT } from './chart-script.ts';
import { PAGE_STYLE } from './page-style.ts';

/** Colours by meaning; series without one get the next of a palette that colour-blind readers can tell apart. */
export type Tone = 'good' | 'warn' | 'bad' | 'muted';

export interface ChartSeries {
  readonly label: string;
  /** One for each x; null leaves a gap. */
  readonly values: readonly (number | null)[];
  readonly tone?: Tone;
  readonly dashed?: boolean;
  /** Marks each point, for a handful of them. */
  readonly points?: boolean;
}

export interface Chart {
  readonly title: string;
  /** Ascending. With `categories`, 0, 1, 2, … */
  readonly x: readonly number[];
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly ChartSeries[];
  /** `percentile`: x is 1 / (1 − share), and the axis is labelled 0%, 90%, 99%, … Default: linear. */
  readonly xScale?: 'percentile';
  readonly yScale?: 'log';
  /** `stacked`: areas on top of each other. `bars`: one group of bars for each category. Default: lines. */
  readonly kind?: 'lines' | 'stacked' | 'bars';
  /** Names in place of the numbers 0, 1, 2, … on the x axis. */
  readonly categories?: readonly string[];
}

export interface Table {
  readonly head: readonly string[];
  /** `text`: all columns stand to the left and wrap. Default: the first column does, the others are numbers. */
  readonly kind?: 'numbers' | 'text';
  readonly rows: readonly (readonly string[])[];
}

export interface Callout {
  readonly tone: Tone;
  readonly text: string;
}

/** Texts are plain; what stands between backticks is set as code. */
export interface Section {
  readonly heading: string;
  readonly text?: readonly string[];
  readonly callouts?: readonly Callout[];
  readonly table?: Table;
  readonly charts?: readonly Chart[];
}

export interface Page {
  readonly title: string;
  readonly intro: string;
  readonly sections: readonly Section[];
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character]!);

const inline = (text: string): string => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');

const paragraph = (text: string): string => `<p>${inline(text)}</p>`;

function tableHtml({ head, rows, kind = 'numbers' }: Table): string {
  const row = (cells: readonly string[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${inline(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="table"><table class="${kind}"><thead>${row(head, 'th')}</thead><tbody>${rows
    .map((cells) => row(cells, 'td'))
    .join('\n')}</tbody></table></div>`;
}

/** The chart's place; the script finds its data by the number. */
function chartHtml({ title }: Chart, number: number): string {
  return `<figure><figcaption>${inline(title)}</figcaption><div class="chart" data-chart="${number}" role="img" aria-label="${escapeHtml(title)}"></div></figure>`;
}

/** JSON that a script element can hold: no `<` can end it early. */
const jsonText = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

/** The whole page as text. */
export function renderPage({ title, intro, sections }: Page): string {
  const charts: Chart[] = [];
  const body = sections.map(({ heading, text = [], callouts = [], table, charts: own = [] }) => {
    const parts = [
      `<h2>${inline(heading)}</h2>`,
      ...callouts.map(({ tone, text: words }) => `<p class="callout ${tone}">${inline(words)}</p>`),
      ...text.map(paragraph),
      ...(table === undefined ? [] : [tableHtml(table)]),
      ...own.map((chart) => chartHtml(chart, charts.push(chart) - 1)),
    ];
    return `<section>\n${parts.join('\n')}\n</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>
${readUplotFile('uPlot.min.css')}
${PAGE_STYLE}
</style>
</head>
<body>
<main>
<h1>${inline(title)}</h1>
${paragraph(intro)}
${body.join('\n')}
</main>
<script type="application/json" id="charts">${jsonText(charts)}</script>
<script>
${inlineScript(readUplotFile('uPlot.iife.min.js'))}
</script>
<script>
${CHART_SCRIPT}
</script>
</body>
</html>
`;
}
