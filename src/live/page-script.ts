/**
 * What runs in the reader's browser: takes the messages of GET /live (`Opening` and `Snapshot` in feed.ts), keeps the
 * last minutes, and draws them.
 *
 * Points are kept by their time, so that plots go on over a restart of the server: its first message has what it
 * knows, and only what is newer is taken over.
 */
export const LIVE_SCRIPT = `(() => {
  'use strict';
  const WINDOW_SECONDS = 300;
  const WINDOW_SECONDS_MIN = 60;
  const GAP_SECONDS = 2.5;
  const SILENT_MS = 4000;
  const DEAD_MS = 12000;
  const RETRY_MS = 2000;
  const PLOT_HEIGHT = 200;
  const STAGES = ['receive', 'limit', 'parse', 'encode', 'queue', 'journal', 'sync'];
  const BREAKER = [
    ['closed', 'good', 'Metrics are being taken.'],
    ['open', 'bad', 'Storage fails: requests are refused until it is tried again.'],
    ['half-open', 'warn', 'A few requests try whether storage is back.'],
  ];
  const element = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

  // Numbers for people.
  const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  const digits = (value) => String(+value.toPrecision(3));
  const rate = (value) => {
    if (!isNumber(value)) return '–';
    if (value >= 1e6) return digits(value / 1e6) + 'M';
    if (value >= 1e4) return digits(value / 1e3) + 'k';
    return value >= 10 ? whole.format(value) : String(+value.toFixed(1));
  };
  const millis = (value) => {
    if (!isNumber(value)) return '–';
    if (value >= 1000) return digits(value / 1000) + ' s';
    return value >= 1 || value === 0 ? digits(value) + ' ms' : digits(value * 1000) + ' µs';
  };
  const bytes = (value) => {
    if (!isNumber(value)) return '–';
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let unit = 0;
    while (value >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit += 1;
    }
    return digits(value) + ' ' + units[unit];
  };
  const duration = (seconds) => {
    const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
    return parts.slice(at, at + 2).map(([size, unit]) => {
      const count = Math.floor(seconds / size);
      seconds -= count * size;
      return count + ' ' + unit;
    }).join(' ');
  };

  // The last minutes, a list of numbers for each column.
  let columns = null;
  let server = null;
  const drop = () => {
    const from = columns.time[columns.time.length - 1] - WINDOW_SECONDS;
    const old = columns.time.findIndex((time) => time >= from);
    if (old > 0) for (const name in columns) columns[name].splice(0, old);
  };
  const append = (point) => {
    const last = columns.time[columns.time.length - 1];
    // The clock was set back: what is drawn would be the future.
    if (point.time < last - 5) for (const name in columns) columns[name].length = 0;
    else if (point.time <= last) return;
    else if (point.time - last > GAP_SECONDS) {
      for (const name in columns) columns[name].push(name === 'time' ? last + 1 : null);
    }
    for (const name in columns) columns[name].push(point[name] ?? null);
    drop();
  };
  const takeHistory = (history) => {
    if (columns === null) {
      columns = history;
      return;
    }
    history.time.forEach((_, at) => {
      append(Object.fromEntries(Object.keys(history).map((name) => [name, history[name][at]])));
    });
  };

  // Plots.
  const plots = [
    {
      id: 'accepted',
      text: rate,
      series: [
        { name: 'accepted', label: 'metrics', tone: 's0', fill: true },
        { name: 'answered', label: 'requests', tone: 's1' },
      ],
    },
    {
      id: 'refused',
      text: rate,
      series: [
        { name: 'rejected', label: 'rejected', tone: 's3' },
        { name: 'limited', label: '429', tone: 'warn' },
        { name: 'unavailable', label: '503', tone: 'bad', fill: true },
      ],
    },
    {
      id: 'latency',
      text: millis,
      log: true,
      series: [
        { name: 'requestP50', label: 'p50', tone: 's2' },
        { name: 'requestP90', label: 'p90', tone: 's0' },
        { name: 'requestP99', label: 'p99', tone: 's4' },
      ],
    },
    {
      id: 'stages',
      text: millis,
      log: true,
      series: STAGES.map((stage, at) => ({ name: stage + 'P99', label: stage, tone: 's' + at })),
    },
    {
      id: 'queue',
      text: rate,
      series: [
        { name: 'depth', label: 'waiting', tone: 's0', fill: true },
        { name: 'capacity', label: 'capacity', tone: 'muted', dash: [6, 4] },
      ],
    },
    { id: 'stored', text: (value) => bytes(value), series: [{ name: 'storedBytes', label: 'bytes', tone: 's2', fill: true }] },
  ];
  const dataOf = (plot) => {
    const time = columns.time;
    return [time, ...plot.series.map(({ name }) =>
      name === 'capacity' ? time.map(() => server.queueCapacity) : columns[name] || time.map(() => null))];
  };

  const legend = (plot, at) => {
    plot.numbers.forEach((number, index) => {
      const values = plot.data[index + 1];
      const value = values[at === null || at === undefined ? values.length - 1 : at];
      number.textContent = plot.text(value);
    });
  };
  const buildLegend = (plot) => {
    plot.numbers = plot.series.map(() => document.createElement('b'));
    element(plot.id + '-legend').replaceChildren(...plot.series.map((one, index) => {
      const item = document.createElement('li');
      const swatch = document.createElement('i');
      swatch.style.background = color(one.tone);
      const label = document.createElement('span');
      label.textContent = one.label;
      item.append(swatch, label, plot.numbers[index]);
      return item;
    }));
  };

  // Shades the time in which the breaker was not closed.
  const shade = (u) => {
    const states = columns.breaker || [];
    const { ctx, bbox } = u;
    ctx.save();
    ctx.globalAlpha = 0.13;
    for (let at = 0; at < states.length; at++) {
      if (!states[at]) continue;
      const from = u.valToPos(columns.time[Math.max(0, at - 1)], 'x', true);
      const to = u.valToPos(columns.time[at], 'x', true);
      ctx.fillStyle = color(BREAKER[states[at]][1]);
      ctx.fillRect(Math.max(from, bbox.left), bbox.top, to - Math.max(from, bbox.left), bbox.height);
    }
    ctx.restore();
  };

  // As wide as what is known, so that a server that just started has no empty plots.
  const timeRange = () => {
    const { time } = columns;
    const last = time[time.length - 1];
    return [last - Math.min(WINDOW_SECONDS, Math.max(WINDOW_SECONDS_MIN, last - time[0])), last];
  };
  const linearRange = (plot) => (u, min, max) => {
    let top = max;
    if (plot.id === 'queue') {
      const highest = columns.depth.reduce((most, depth) => Math.max(most, depth ?? 0), 0);
      // Seen against its capacity once it is worth it; before, the line would only press it flat.
      top = highest * 5 > server.queueCapacity ? server.queueCapacity : highest;
    }
    return [0, isNumber(top) && top > 0 ? top * 1.1 : 1];
  };
  const logRange = (u, min, max) => {
    if (!isNumber(min) || !isNumber(max) || max <= 0) return [0.01, 100];
    const low = 10 ** Math.floor(Math.log10(Math.max(min, 1e-4)));
    return [low, Math.max(10 ** Math.ceil(Math.log10(max)), low * 10)];
  };

  // Of a logarithmic axis only these are drawn.
  const powersOfTen = (u, values) => values.map((value) => {
    const power = Math.log10(value);
    return value !== null && Math.abs(power - Math.round(power)) < 1e-9 ? value : null;
  });
  const clock = (time, step) => new Date(time * 1000).toLocaleTimeString('en-GB', {
    hour: '2-digit', minute: '2-digit', ...(step < 60 ? { second: '2-digit' } : {}),
  });
  const FONT = '14px system-ui, sans-serif';
  const optionsOf = (plot, width) => {
    const grid = { stroke: color('line'), width: 1 };
    const axis = { stroke: color('soft'), grid, ticks: { ...grid, size: 4 }, font: FONT };
    return {
      width,
      height: PLOT_HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: 'live' }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
      scales: {
        x: { time: true, range: timeRange },
        y: { distr: plot.log ? 3 : 1, range: plot.log ? logRange : linearRange(plot) },
      },
      axes: [
        { ...axis, size: 28, space: 90, incrs: [10, 30, 60, 120], values: (u, times, index, space, step) => times.map((time) => clock(time, step)) },
        {
          ...axis,
          size: 72,
          space: plot.log ? 20 : 34,
          filter: plot.log ? powersOfTen : undefined,
          grid: { ...grid, ...(plot.log ? { filter: powersOfTen } : {}) },
          ticks: { ...axis.ticks, ...(plot.log ? { filter: powersOfTen } : {}) },
          values: (u, values) => values.map((value) => (value === null ? '' : plot.text(value))),
        },
      ],
      series: [{}, ...plot.series.map((one) => ({
        label: one.label,
        stroke: color(one.tone),
        width: 2,
        dash: one.dash,
        fill: one.fill ? color(one.tone) + '26' : undefined,
        points: { show: false },
        spanGaps: false,
      }))],
      hooks: { drawClear: [shade], setCursor: [(u) => legend(plot, u.cursor.idx)] },
    };
  };

  // In words, for those who do not see it.
  const describe = (plot) => {
    const place = element(plot.id + '-plot');
    const latest = plot.series.map(({ label }, index) => label + ' ' + plot.text(plot.data[index + 1].at(-1)));
    place.setAttribute('aria-label', element(plot.id + '-title').textContent + ', ' + columns.time.length + ' seconds: ' + latest.join(', '));
    place.dataset.points = columns.time.length;
  };
  const build = (plot) => {
    const place = element(plot.id + '-plot');
    place.replaceChildren();
    buildLegend(plot);
    plot.data = dataOf(plot);
    plot.chart = new uPlot(optionsOf(plot, place.clientWidth), plot.data, place);
    legend(plot, null);
  };
  const draw = () => {
    if (columns === null || columns.time.length === 0 || document.hidden) return;
    for (const plot of plots) {
      if (!plot.chart) build(plot);
      plot.data = dataOf(plot);
      plot.chart.setData(plot.data);
      describe(plot);
      legend(plot, plot.chart.cursor.idx);
    }
  };

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
  const cells = (row, tags) => {
    const line = document.createElement('tr');
    row.forEach((value, at) => {
      const cell = document.createElement(at === 0 ? 'th' : 'td');
      if (at === 0) cell.scope = 'row';
      if (tags[at] === 'code') {
        const code = document.createElement('code');
        code.textContent = value;
        cell.append(code);
      } else cell.textContent = value;
      if (tags[at] === 'wide') cell.className = 'wide';
      line.append(cell);
    });
    return line;
  };
  const putRows = (id, rows, tags, none) => {
    element(id).replaceChildren(...(rows.length > 0 ? rows : [[none]]).map((row) => cells(row, tags)));
  };

  const showState = ({ breaker, unavailable }, reasons) => {
    const [name, tone, note] = BREAKER[breaker ?? 0];
    const why = Object.keys(reasons).map((reason) => reason.replaceAll('_', ' ')).join(', ');
    put('breaker', 'Storage breaker: ' + name);
    put('state-note', breaker || !(unavailable > 0) ? note : 'Some requests are refused with 503: ' + (why || 'see the log') + '.');
    element('state').className = 'card state ' + (breaker ? tone : unavailable > 0 ? 'warn' : tone);
    element('state').dataset.breaker = name;
    document.title = (breaker ? 'Breaker ' + name + ' – ' : '') + 'MetricsStream';
  };

  const diskNote = ({ reserveBytes, fullSeconds }) =>
    fullSeconds === null ? 'refuses below ' + bytes(reserveBytes) : 'full in ' + (fullSeconds > 365 * 86400 ? 'over a year' : duration(fullSeconds));

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
    putTile('latency', ...millis(request.p99).split(' '), request.count > 0 ? 'p50 ' + millis(request.p50) + ', p90 ' + millis(request.p90) : 'nothing in the last 5 s');
    putTile('queue', whole.format(queue.depth), 'of ' + whole.format(queueCapacity), queue.depth > 0 ? 'oldest ' + millis(queue.headAgeMs) + ', ' + bytes(queue.bytes) : 'nothing waits', queue.depth * 2 > queueCapacity ? 'bad' : '');
    putTile('stored', ...bytes(point.storedBytes).split(' ').map((part, at) => (at === 1 ? part + '/s' : part)), bytes(totals.storedBytes) + ' since the start');
    putTile('free', ...bytes(message.disk.freeBytes).split(' '), diskNote(message.disk), message.disk.freeBytes < message.disk.reserveBytes ? 'bad' : (message.disk.fullSeconds ?? Infinity) < 6 * 3600 ? 'warn' : '');
    putRows('stages-table', STAGES.map((stage) => {
      const { p50, p90, p99, count } = stages[stage];
      return [stage, millis(p50), millis(p90), millis(p99), whole.format(count)];
    }), ['', '', '', '', 'wide'], '');
    putRows('clients', limitedClients.map(({ client, refusedPerSecond, refused, allowed }) =>
      [client, rate(refusedPerSecond), whole.format(refused), whole.format(allowed)]), ['code', '', '', 'wide'], 'none so far');
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
  new ResizeObserver(() => {
    for (const { id, chart } of plots) {
      const width = element(id + '-plot').clientWidth;
      if (chart && chart.width !== width) chart.setSize({ width, height: PLOT_HEIGHT });
    }
  }).observe(element('accepted-plot'));
})();`;
