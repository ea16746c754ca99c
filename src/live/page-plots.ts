/**
 * Part of the page's script: the last minutes, a list of numbers for each column, and their plots.
 *
 * Points are kept by their time, so that plots go on over a restart of the server: its first message has what it
 * knows, and only what is newer is taken over.
 */
export const PLOTS_SCRIPT = `  const WINDOW_SECONDS = 300;
  const WINDOW_SECONDS_MIN = 60;
  const GAP_SECONDS = 2.5;

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
  const alone = (u, index) => {
    const values = u.data[index];
    return values.flatMap((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : []);
  };
  const FONT = '14px system-ui, sans-serif';
  const sizeOf = ({ id }) => {
    const { clientWidth: width, clientHeight: height } = element(id + '-plot');
    return { width, height };
  };
  const optionsOf = (plot) => {
    const grid = { stroke: color('line'), width: 1 };
    const axis = { stroke: color('soft'), grid, ticks: { ...grid, size: 4 }, font: FONT };
    return {
      ...sizeOf(plot),
      // Room for half of the last time's text.
      padding: [8, 30, 0, 0],
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
        // A line needs two points: those without a neighbour are dots.
        points: { show: true, size: 5, filter: alone },
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
    plot.chart = new uPlot(optionsOf(plot), plot.data, place);
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
`;
