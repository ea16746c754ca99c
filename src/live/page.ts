/**
 * A page as one HTML text: index.html with its styles and scripts inside. It contacts no other server, which its
 * Content-Security-Policy enforces.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { inlineScript, LIVE_PAGE, readPageFile, readUplotFile } from './page-files.ts';

export interface HtmlPage {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The same headers as text, each as `CRLF Name: value`. */
  readonly lines: string;
}

const STYLE_LINK = /<link rel="stylesheet" href="([^"]+)">/g;
const SCRIPT_LINK = /<script (type="module" )?src="([^"]+)"><\/script>/g;
const IMPORT = /^import [^;]+ from '(\.[\w./-]+\.js)';\n/gm;

/** @param exploreUrl address of the page of `metricsstream explore`, for a link to it */
export function renderLivePage(exploreUrl?: string): HtmlPage {
  const page = renderPage(LIVE_PAGE);
  const link =
    exploreUrl === undefined ? '' : `, <a href="${attributeText(exploreUrl)}">explore</a> what is stored`;
  return { ...page, body: page.body.replace(EXPLORE_PLACE, () => link) };
}

const EXPLORE_PLACE = '<!-- explore -->';

function attributeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}

/** @param directory below `src` */
export function renderPage(directory: string): HtmlPage {
  const styles: string[] = [];
  const scripts: string[] = [];
  const body = readPageFile('index.html', directory)
    .replace(STYLE_LINK, (_, name: string) => {
      const style = name === 'uPlot.min.css' ? readUplotFile(name) : readPageFile(name, directory);
      styles.push(hashOf(style));
      return `<style>${style}</style>`;
    })
    .replace(SCRIPT_LINK, (_, isModule: string | undefined, name: string) => {
      const text = name === 'uPlot.iife.min.js' ? readUplotFile(name) : bundle(name, directory);
      const script = inlineScript(text);
      scripts.push(hashOf(script));
      return `<script${isModule === undefined ? '' : ' type="module"'}>${script}</script>`;
    });
  const policy = [
    "default-src 'none'",
    `script-src ${scripts.join(' ')}`,
    `style-src ${styles.join(' ')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  const headers = {
    'Content-Security-Policy': policy,
    'Cache-Control': 'no-cache',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  };
  const lines = Object.entries(headers).map(([name, value]) => `\r\n${name}: ${value}`);
  return { body, headers, lines: lines.join('') };
}

/**
 * A module and all it imports as one module: each file once, after the files that it imports. The files share one
 * scope, so their top-level names differ (a test parses the result).
 */
function bundle(entry: string, directory: string, included = new Set<string>()): string {
  if (included.has(entry)) return '';
  included.add(entry);
  const source = readPageFile(entry, directory);
  const imported = [...source.matchAll(IMPORT)].map(([, name]) =>
    bundle(join(dirname(entry), name!), directory, included),
  );
  return imported.join('') + source.replace(IMPORT, '').replace(/^export /gm, '');
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
