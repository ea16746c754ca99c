/** The live page: reads the messages of `GET /live` (src/live/messages.ts) and shows them. */
import { element, setText } from './document.js';
import { showFigures } from './figures.js';
import { appendPoint, history, mergeHistory } from './history.js';
import { drawPlots } from './plots.js';
import { SharedFeed } from './shared-feed.js';

/** @typedef {import('../messages.ts').Opening} Opening */
/** @typedef {import('../messages.ts').Snapshot} Snapshot */
/** @typedef {import('../messages.ts').ServerFacts} ServerFacts */

/** @type {ServerFacts | null} */
let server = null;
/** @type {Snapshot | null} */
let latest = null;

/** @param {Opening | Snapshot} message */
function receive(message) {
  if ('server' in message) {
    server = message.server;
    mergeHistory(message.columns);
  }
  if (server === null) return;
  latest = message;
  appendPoint(message.point);
  showFigures(message, server);
  showConnection('live', 'good', '');
  drawPlots(server.queueCapacity);
}

/** @param {string} text @param {string} tone @param {string} detail */
function showConnection(text, tone, detail) {
  setText('connection', text);
  setText('connection-detail', detail);
  element('connection').className = `badge ${tone}`;
  document.body.classList.toggle('stale', tone !== 'good');
}

/** @returns {Opening | null} */
function opening() {
  const columns = history();
  return server === null || latest === null || columns === null ? null : { ...latest, server, columns };
}

new SharedFeed({
  onMessage: (text) => receive(JSON.parse(text)),
  onOpening: receive,
  onProblem: (problem) => showConnection('reconnecting…', 'bad', problem),
  opening,
});

document.addEventListener('visibilitychange', () => {
  if (server !== null) drawPlots(server.queueCapacity);
});
