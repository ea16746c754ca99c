/** Shows a message: tiles, tables and the breaker's state. */
import { BREAKER_STATES } from './breaker-states.js';
import { element, setText } from './document.js';
import { bytes, count, duration, millis, rate } from './format.js';
import { STAGE_TONES } from './plots.js';

/** @typedef {import('../messages.ts').Snapshot} Snapshot */
/** @typedef {import('../messages.ts').ServerFacts} ServerFacts */
/** @typedef {import('../../telemetry/recorder.ts').Stage} Stage */

/** The disk's slope over the first minute is mostly that of the start. */
const SLOPE_KNOWN_SECONDS = 60;
const YEAR_SECONDS = 365 * 86400;
const DISK_WARNING_SECONDS = 6 * 3600;

/** @param {Snapshot} snapshot @param {ServerFacts} server */
export function showFigures(snapshot, server) {
  const { version, phase, phaseName, workers, ack } = server;
  const workerText = `${workers} ${workers === 1 ? 'worker' : 'workers'}`;
  setText(
    'facts',
    `${version} · phase ${phase}, ${phaseName} · ${workerText} · ack ${ack} · up ${duration(snapshot.uptimeSeconds)}`,
  );
  showRates(snapshot);
  showStorage(snapshot, server);
  showTables(snapshot);
  showSinks(snapshot);
  showState(snapshot);
}

/** @param {Snapshot} snapshot */
function showRates({ point, totals, reasons, request }) {
  /** @param {number} total */
  const inAll = (total) => `${count(total)} in all`;
  /** @param {number | null} value @param {string} tone */
  const toneIf = (value, tone) => ((value ?? 0) > 0 ? tone : '');
  showTile('accepted', rate(point.accepted), '/s', inAll(totals.accepted));
  showTile('rejected', rate(point.rejected), '/s', inAll(totals.rejected), toneIf(point.rejected, 'warn'));
  showTile('limited', rate(point.limited), '/s', inAll(totals.limited), toneIf(point.limited, 'warn'));
  const [worst] = Object.entries(reasons).sort((a, b) => b[1] - a[1]);
  const unavailable = inAll(totals.unavailable) + (worst ? `: ${words(worst[0])}` : '');
  showTile('unavailable', rate(point.unavailable), '/s', unavailable, toneIf(point.unavailable, 'bad'));
  const [latency = '', unit = ''] = millis(request.p99).split(' ');
  const percentiles = `p50 ${millis(request.p50)}, p90 ${millis(request.p90)}`;
  showTile('latency', latency, unit, request.count > 0 ? percentiles : 'nothing in the last 5 s');
}

/** @param {Snapshot} snapshot @param {ServerFacts} server */
function showStorage(snapshot, { queueCapacity }) {
  const { point, totals, queue, disk } = snapshot;
  const tone = queue.depth * 2 > queueCapacity ? 'bad' : '';
  showTile('queue', count(queue.depth), `of ${count(queueCapacity)}`, queueNote(snapshot), tone);
  const [written = '', size = ''] = bytes(point.storedBytes).split(' ');
  showTile('stored', written, `${size}/s`, `${bytes(totals.storedBytes)} since the start`);
  const [free = '', unit = ''] = bytes(disk.freeBytes).split(' ');
  const [note, diskTone] = diskNote(snapshot);
  showTile('free', free, unit, note, diskTone);
}

/** @param {Snapshot} snapshot */
function queueNote({ queue, admission }) {
  if (queue.depth === 0) return 'nothing waits';
  if (admission.targetDelayMs === 0) return `oldest ${millis(queue.headAgeMs)}, ${bytes(queue.bytes)}`;
  return `stored in ${millis(admission.delayMs)}, target ${millis(admission.targetDelayMs)}`;
}

/** @param {Snapshot} snapshot @returns {[note: string, tone: string]} */
function diskNote({ disk: { freeBytes, reserveBytes, fullSeconds }, uptimeSeconds }) {
  if (freeBytes < reserveBytes) return [`below the reserve of ${bytes(reserveBytes)}`, 'bad'];
  if (fullSeconds === null || uptimeSeconds < SLOPE_KNOWN_SECONDS) {
    return [`refuses below ${bytes(reserveBytes)}`, ''];
  }
  if (fullSeconds > YEAR_SECONDS) return ['full in over a year', ''];
  return [`full in ${duration(fullSeconds)}`, fullSeconds < DISK_WARNING_SECONDS ? 'warn' : ''];
}

/** @param {Snapshot} snapshot */
function showTables({ stages, limitedClients }) {
  const stageRows = /** @type {Stage[]} */ (Object.keys(STAGE_TONES)).map((stage) => {
    const latency = stages[stage];
    const percentiles = [latency.p50, latency.p90, latency.p99].map(millis);
    return [stage, ...percentiles, count(latency.count)];
  });
  showRows('stages-table', stageRows, ['', '', '', '', 'wide']);
  const clientRows = limitedClients.map(({ client, refusedPerSecond, refused, allowed }) => [
    client,
    rate(refusedPerSecond),
    count(refused),
    count(allowed),
  ]);
  showRows('clients', clientRows, ['code', '', '', 'wide']);
  element('nobody').hidden = limitedClients.length > 0;
}

/** @param {Snapshot} snapshot */
function showSinks({ sinks }) {
  element('sinks-card').hidden = sinks.length === 0;
  const rows = sinks.map(({ sink, state, lagSeconds, lagCommits, lagBytes }) => [
    sink,
    state,
    millis(lagSeconds * 1000),
    count(lagCommits),
    bytes(lagBytes),
  ]);
  showRows('sinks', rows, ['code', '', '', '', 'wide']);
  const failing = sinks.find(({ error }) => error !== '');
  setText(
    'sinks-note',
    failing ? `${failing.sink}: ${failing.error}` : 'Metrics are safe in the log until a sink has them.',
  );
}

/** @param {Snapshot} snapshot */
function showState({ point, reasons }) {
  const breaker = point.breaker ?? 0;
  const { name, tone, note } = BREAKER_STATES[breaker] ?? { name: 'unknown', tone: 'muted', note: '' };
  const refuses = breaker === 0 && (point.unavailable ?? 0) > 0;
  const why = Object.keys(reasons).map(words).join(', ') || 'see the log';
  setText('breaker', `Storage breaker: ${name}`);
  setText('state-note', refuses ? `Some requests are refused with 503: ${why}.` : note);
  const state = element('state');
  state.className = `card state ${refuses ? 'warn' : tone}`;
  state.dataset.breaker = name;
  document.title = `${breaker === 0 ? '' : `Breaker ${name} – `}MetricsStream`;
}

/** @param {string} id @param {string} value @param {string} unit @param {string} note @param {string} tone */
function showTile(id, value, unit, note, tone = '') {
  const place = element(`${id}-now`);
  const small = document.createElement('small');
  small.textContent = unit;
  place.replaceChildren(`${value} `, small);
  place.className = `value ${tone}`.trim();
  setText(`${id}-note`, note);
}

/**
 * Fills a table. The first cell of a row is its heading.
 * @param {string} id @param {string[][]} rows @param {string[]} classes by column
 */
function showRows(id, rows, classes) {
  const built = rows.map((cells) => {
    const row = document.createElement('tr');
    cells.forEach((text, at) => {
      const cell = document.createElement(at === 0 ? 'th' : 'td');
      if (at === 0) cell.setAttribute('scope', 'row');
      cell.className = classes[at] ?? '';
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  });
  element(id).replaceChildren(...built);
}

/** @param {string} code a reason, such as queue_full */
const words = (code) => code.replaceAll('_', ' ');
