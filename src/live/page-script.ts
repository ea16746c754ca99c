/**
 * What runs in the reader's browser: takes the messages of GET /live (`Opening` and `Snapshot` in feed.ts) and shows
 * them.
 */
import { STAGES } from '../exposition/readings.ts';
import { NUMBERS_SCRIPT } from './page-numbers.ts';
import { PLOTS_SCRIPT } from './page-plots.ts';

export const LIVE_SCRIPT = `(() => {
  'use strict';
  const SILENT_MS = 4000;
  const DEAD_MS = 12000;
  const RETRY_MS = 2000;
  const STAGES = ${JSON.stringify(STAGES)};
  const BREAKER = [
    ['closed', 'good', 'Metrics are being taken.'],
    ['open', 'bad', 'Storage fails: requests are refused until it is tried again.'],
    ['half-open', 'warn', 'A few requests try whether storage is back.'],
  ];
  const element = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

${NUMBERS_SCRIPT}
${PLOTS_SCRIPT}
  // Numbers and words.
  const put = (id, text) => {
    const place = element(id);
    if (place.textContent !== text) place.textContent = text;
  };
  const putTile = (id, value, unit, note, tone = '') => {
    const place = element(id + '-now');
    const small = document.createElement('small');
    small.textContent = unit;
    place.replaceChildren(value + ' ', small);
    place.className = ('value ' + tone).trim();
    put(id + '-note', note);
  };
  // The first cell names its row; kinds are class names by column, 'code' for what is set as such.
  const rowOf = (values, kinds) => {
    const row = document.createElement('tr');
    row.append(...values.map((value, at) => {
      const cell = document.createElement(at === 0 ? 'th' : 'td');
      if (at === 0) cell.scope = 'row';
      cell.className = kinds[at] ?? '';
      cell.textContent = value;
      return cell;
    }));
    return row;
  };
  const putRows = (id, rows, kinds) => element(id).replaceChildren(...rows.map((row) => rowOf(row, kinds)));

  const showState = ({ breaker, unavailable }, reasons) => {
    const [name, tone, note] = BREAKER[breaker ?? 0];
    const why = Object.keys(reasons).map((reason) => reason.replaceAll('_', ' ')).join(', ');
    put('breaker', 'Storage breaker: ' + name);
    put('state-note', breaker || !(unavailable > 0) ? note : 'Some requests are refused with 503: ' + (why || 'see the log') + '.');
    element('state').className = 'card state ' + (breaker ? tone : unavailable > 0 ? 'warn' : tone);
    element('state').dataset.breaker = name;
    document.title = (breaker ? 'Breaker ' + name + ' – ' : '') + 'MetricsStream';
  };

  const queueNote = ({ queue, admission }) => {
    if (admission.targetDelayMs > 0 && queue.depth > 0) return 'stored in ' + millis(admission.delayMs) + ', target ' + millis(admission.targetDelayMs);
    return queue.depth > 0 ? 'oldest ' + millis(queue.headAgeMs) + ', ' + bytes(queue.bytes) : 'nothing waits';
  };
  // The first minute's slope is mostly that of the start.
  const diskNote = ({ disk: { freeBytes, reserveBytes, fullSeconds }, uptimeSeconds }) => {
    if (freeBytes < reserveBytes) return ['below the reserve of ' + bytes(reserveBytes), 'bad'];
    if (fullSeconds === null || uptimeSeconds < 60) return ['refuses below ' + bytes(reserveBytes), ''];
    if (fullSeconds > 365 * 86400) return ['full in over a year', ''];
    return ['full in ' + duration(fullSeconds), fullSeconds < 6 * 3600 ? 'warn' : ''];
  };

  const show = (message) => {
    const { point, totals, reasons, request, stages, queue, limitedClients, uptimeSeconds } = message;
    const { version, phase, phaseName, workers, ack, queueCapacity } = server;
    put('facts', version + ' · phase ' + phase + ', ' + phaseName + ' · ' + workers + (workers === 1 ? ' worker' : ' workers') + ' · ack ' + ack + ' · up ' + duration(uptimeSeconds));
    const total = (count) => whole.format(count) + ' in all';
    putTile('accepted', rate(point.accepted), '/s', total(totals.accepted));
    putTile('rejected', rate(point.rejected), '/s', total(totals.rejected), point.rejected > 0 ? 'warn' : '');
    putTile('limited', rate(point.limited), '/s', total(totals.limited), point.limited > 0 ? 'warn' : '');
    const [worst] = Object.entries(reasons).sort((a, b) => b[1] - a[1]);
    putTile('unavailable', rate(point.unavailable), '/s', total(totals.unavailable) + (worst ? ': ' + worst[0].replaceAll('_', ' ') : ''), point.unavailable > 0 ? 'bad' : '');
    const [latency, unit = ''] = millis(request.p99).split(' ');
    putTile('latency', latency, unit, request.count > 0 ? 'p50 ' + millis(request.p50) + ', p90 ' + millis(request.p90) : 'nothing in the last 5 s');
    putTile('queue', whole.format(queue.depth), 'of ' + whole.format(queueCapacity), queueNote(message), queue.depth * 2 > queueCapacity ? 'bad' : '');
    const [written, size] = bytes(point.storedBytes).split(' ');
    putTile('stored', written, size + '/s', bytes(totals.storedBytes) + ' since the start');
    putTile('free', ...bytes(message.disk.freeBytes).split(' '), ...diskNote(message));
    putRows('stages-table', STAGES.map((stage) => {
      const { p50, p90, p99, count } = stages[stage];
      return [stage, millis(p50), millis(p90), millis(p99), whole.format(count)];
    }), ['', '', '', '', 'wide']);
    putRows('clients', limitedClients.map(({ client, refusedPerSecond, refused, allowed }) =>
      [client, rate(refusedPerSecond), whole.format(refused), whole.format(allowed)]), ['code', '', '', 'wide']);
    element('nobody').hidden = limitedClients.length > 0;
    showState(point, reasons);
  };

  // The connection. The browser reconnects by itself, except after an answer that is no stream.
  let source = null;
  let heardAt = performance.now();
  const showConnection = (text, tone) => {
    put('connection', text);
    element('connection').className = 'badge ' + tone;
    document.body.classList.toggle('stale', tone !== 'good');
  };
  const take = (event) => {
    const message = JSON.parse(event.data);
    heardAt = performance.now();
    if (message.server) {
      server = message.server;
      takeHistory(message.columns);
    }
    if (server === null) return;
    append(message.point);
    show(message);
    showConnection('live', 'good');
    draw();
  };
  const connect = () => {
    heardAt = performance.now();
    if (source !== null) source.close();
    const own = new EventSource('live');
    source = own;
    own.onmessage = take;
    own.onerror = () => {
      showConnection('reconnecting…', 'bad');
      if (own.readyState !== EventSource.CLOSED) return;
      setTimeout(() => { if (source === own) connect(); }, RETRY_MS);
    };
  };
  setInterval(() => {
    const silentMs = performance.now() - heardAt;
    if (silentMs > SILENT_MS) showConnection('reconnecting…', 'bad');
    if (silentMs > DEAD_MS) connect();
  }, 1000);
  connect();

  const redraw = () => {
    for (const plot of plots) {
      if (plot.chart) plot.chart.destroy();
      plot.chart = null;
    }
    draw();
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  document.addEventListener('visibilitychange', draw);
  const resized = new ResizeObserver(() => {
    for (const plot of plots) {
      const { width, height } = sizeOf(plot);
      if (plot.chart && (plot.chart.width !== width || plot.chart.height !== height)) plot.chart.setSize({ width, height });
    }
  });
  for (const { id } of plots) resized.observe(element(id + '-plot'));
})();`;
