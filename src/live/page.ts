/**
 * The live page as one HTML text: style, uPlot and script are in it, and it asks no one but the server it came from,
 * which its Content-Security-Policy makes sure of.
 */
import { createHash } from 'node:crypto';
import { LIVE_SCRIPT } from './page-script.ts';
import { LIVE_STYLE } from './page-style.ts';
import { uplotScript, uplotStyle } from './uplot.ts';

export interface LivePage {
  readonly body: string;
  /** Header lines that belong to it, each as `CRLF Name: value`. */
  readonly lines: string;
}

/** A sign in the tab's corner, so that no browser asks for /favicon.ico. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 11l4-6 3 4 3-7 4 9' fill='none' stroke='%232563b0' stroke-width='2'/%3E%3C/svg%3E";

const TILES: readonly (readonly [id: string, title: string])[] = [
  ['accepted', 'Metrics accepted'],
  ['rejected', 'Metrics rejected'],
  ['limited', 'Limited (429)'],
  ['unavailable', 'Unavailable (503)'],
  ['latency', 'Latency p99'],
  ['queue', 'Waiting for storage'],
  ['stored', 'To disk'],
  ['free', 'Disk free'],
];

const PLOTS: readonly (readonly [id: string, title: string])[] = [
  ['accepted', 'Metrics accepted, requests answered a second'],
  ['refused', 'Metrics rejected, requests refused a second'],
  ['latency', 'Latency of accepted requests'],
  ['stages', 'Latency by stage, p99'],
  ['queue', 'Requests waiting for storage'],
  ['stored', 'Bytes to disk a second'],
];

const tile = ([id, title]: readonly [string, string]): string =>
  `<div class="card"><h2>${title}</h2><p class="value" id="${id}-now">–</p><p class="note" id="${id}-note">&nbsp;</p></div>`;

const plot = ([id, title]: readonly [string, string]): string =>
  `<section class="card" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2><ul class="legend" id="${id}-legend"></ul><div class="plot" id="${id}-plot" role="img" aria-label="${title}"></div></section>`;

const BODY = `<div class="page">
<header>
<h1>MetricsStream</h1>
<p id="facts">&nbsp;</p>
<p id="connection" class="badge muted" role="status" aria-live="polite">connecting…</p>
</header>
<main>
<p id="state" class="card state muted" role="status" aria-live="polite"><strong class="badge" id="breaker">Storage breaker: unknown</strong><span id="state-note">Waiting for the first figures.</span></p>
<div class="tiles">
${TILES.map(tile).join('\n')}
</div>
<div class="plots">
${PLOTS.map(plot).join('\n')}
</div>
<div class="tables">
<section class="card" aria-labelledby="stages-table-title">
<h2 id="stages-table-title">Latency by stage, last 5 seconds</h2>
<table><thead><tr><th scope="col">stage</th><th scope="col">p50</th><th scope="col">p90</th><th scope="col">p99</th><th scope="col" class="wide">measured</th></tr></thead><tbody id="stages-table"></tbody></table>
</section>
<section class="card" aria-labelledby="clients-title">
<h2 id="clients-title">Clients limited most</h2>
<table><thead><tr><th scope="col">client (hashed)</th><th scope="col">refused/s</th><th scope="col">refused</th><th scope="col" class="wide">allowed</th></tr></thead><tbody id="clients"></tbody></table>
<p class="note" id="nobody">No client has been limited.</p>
</section>
</div>
</main>
<footer>
<p>Accepted metrics are those acknowledged; rejected ones broke a rule (a body that is not JSON counts as one). 429 and 503 count requests. Latency runs from a request’s first byte to its answer, over the last 5 seconds. Plots show 5 minutes; the shaded time is that of an open storage breaker.</p>
<p>Also here: <a href="metrics">metrics</a> for Prometheus, <a href="health">health</a>, <a href="ready">ready</a>.</p>
</footer>
</div>`;

const inlineHash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

export function renderLivePage(): LivePage {
  const style = `${uplotStyle()}\n${LIVE_STYLE}`;
  const script = `${uplotScript()}\n${LIVE_SCRIPT}`;
  const policy = [
    "default-src 'none'",
    `script-src ${inlineHash(script)}`,
    `style-src ${inlineHash(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  const lines = [
    `Content-Security-Policy: ${policy}`,
    'Cache-Control: no-cache',
    'Referrer-Policy: no-referrer',
    'X-Content-Type-Options: nosniff',
  ];
  return {
    body: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>MetricsStream</title>
<link rel="icon" href="${ICON}">
<style>${style}</style>
</head>
<body>
${BODY}
<script>${script}</script>
</body>
</html>
`,
    lines: lines.map((line) => `\r\n${line}`).join(''),
  };
}
