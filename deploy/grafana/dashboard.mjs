// Makes metricsstream.json, the Grafana dashboard, from the description below.
//   node deploy/grafana/dashboard.mjs            writes it
//   node deploy/grafana/dashboard.mjs --check    exits 1 if the file differs from the description
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GREEN, own, SERVER } from './queries.mjs';
import { REQUEST_ROWS } from './request-rows.mjs';
import { RESOURCE_ROWS } from './resource-rows.mjs';
import { SHIPPING_ROWS } from './shipping-rows.mjs';

const FILE = fileURLToPath(new URL('metricsstream.json', import.meta.url));
/** The schema of Grafana 12; newer ones migrate it when they load it. */
const SCHEMA_VERSION = 41;
const GRID_COLUMNS = 24;
const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

function targetOf({ expr, legend, format = 'time_series', instant = false }, index) {
  return {
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: DATASOURCE,
    expr,
    legendFormat: legend === '' ? '__auto' : legend,
    format,
    instant,
    range: !instant,
  };
}

/** Fields of each panel type beyond those that all panels have. */
const OPTIONS = {
  stat: () => ({
    colorMode: 'value',
    graphMode: 'area',
    textMode: 'value',
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
  }),
  timeseries: () => ({
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
    tooltip: { mode: 'multi', sort: 'desc' },
  }),
  heatmap: () => ({
    calculate: false,
    cellGap: 0,
    color: { mode: 'scheme', scheme: 'Turbo', steps: 64, exponent: 0.5 },
    filterValues: { le: 1e-9 },
    tooltip: { mode: 'single', yHistogram: true },
    yAxis: { axisPlacement: 'left', unit: 's' },
  }),
  'state-timeline': () => ({ mergeValues: true, showValue: 'auto', rowHeight: 0.8 }),
  table: () => ({ showHeader: true }),
};

function customOf({ type, stacked: isStacked = false, showThreshold = false }) {
  if (type !== 'timeseries') return {};
  return {
    drawStyle: 'line',
    lineWidth: 1,
    fillOpacity: isStacked ? 25 : 0,
    showPoints: 'never',
    stacking: { mode: isStacked ? 'normal' : 'none', group: 'A' },
    thresholdsStyle: { mode: showThreshold ? 'dashed' : 'off' },
  };
}

function panelOf(described, id, x, y) {
  const { type, title, description, unit, queries, width, height, steps = GREEN, mappings = [] } = described;
  return {
    id,
    type,
    title,
    description,
    datasource: DATASOURCE,
    gridPos: { x, y, w: width, h: height },
    fieldConfig: {
      defaults: {
        unit,
        ...(type === 'timeseries' && { min: 0 }),
        thresholds: steps,
        color: { mode: type === 'timeseries' ? 'palette-classic' : 'thresholds' },
        mappings,
        custom: customOf(described),
      },
      overrides: [],
    },
    options: OPTIONS[type](),
    targets: queries.map(targetOf),
  };
}

/** Lays panels out from left to right, each row under its heading. */
function layOut() {
  const panels = [];
  let y = 0;
  for (const [title, described] of [...REQUEST_ROWS, ...RESOURCE_ROWS, ...SHIPPING_ROWS]) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: GRID_COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const one of described) {
      if (x + one.width > GRID_COLUMNS) {
        y += height;
        x = 0;
        height = 0;
      }
      panels.push(panelOf(one, panels.length + 1, x, y));
      x += one.width;
      height = Math.max(height, one.height);
    }
    y += height;
  }
  return panels;
}

function labelVariable(name, label, series, more) {
  const text = `label_values(${series}, ${name})`;
  return {
    type: 'query',
    name,
    label,
    datasource: DATASOURCE,
    definition: text,
    query: { query: text, refId: name },
    refresh: 2,
    sort: 1,
    ...more,
  };
}

/** One series of each process: of the server, and of what runs beside it. */
const PROCESSES = '__name__=~"metricsstream_build_info|metricsstream_(export|consume|archive)_up"';
const SEVERAL = { multi: true, includeAll: true, current: { text: 'All', value: ['$__all'] } };

const dashboard = {
  uid: 'metricsstream',
  title: 'MetricsStream',
  description:
    'Requests, latency, pipeline, protection, errors, capacity and system of MetricsStream servers; exporters, consumers and archive.',
  tags: ['metricsstream'],
  schemaVersion: SCHEMA_VERSION,
  version: 1,
  editable: true,
  graphTooltip: 1,
  refresh: '10s',
  time: { from: 'now-30m', to: 'now' },
  timezone: 'browser',
  annotations: {
    list: [
      {
        name: 'Alerts',
        enable: true,
        iconColor: 'red',
        datasource: DATASOURCE,
        expr: 'ALERTS{alertname=~"MetricsStream.*", alertstate="firing"}',
        titleFormat: '{{alertname}}',
        textFormat: '{{instance}} {{severity}}',
        step: '15s',
      },
      {
        name: 'Starts',
        enable: true,
        iconColor: 'blue',
        datasource: DATASOURCE,
        expr: `resets(${own('uptime_seconds')}[$__interval]) > 0`,
        titleFormat: 'started again',
        textFormat: '{{instance}}',
        step: '15s',
      },
    ],
  },
  templating: {
    list: [
      {
        type: 'datasource',
        name: 'datasource',
        label: 'Data source',
        query: 'prometheus',
        refresh: 1,
        current: {},
      },
      labelVariable('job', 'Job', `{${PROCESSES}}`, SEVERAL),
      labelVariable('instance', 'Instance', `{${PROCESSES}, job=~"$job"}`, SEVERAL),
      labelVariable('stage', 'Stage', `metricsstream_stage_duration_seconds_count{${SERVER}}`, {
        multi: false,
        includeAll: false,
        current: { text: 'sync', value: 'sync' },
      }),
    ],
  },
  panels: layOut(),
};

const text = `${JSON.stringify(dashboard, null, 2)}\n`;
if (!process.argv.includes('--check')) {
  writeFileSync(FILE, text);
} else if (readFileSync(FILE, 'utf8') !== text) {
  console.error('metricsstream.json is not what dashboard.mjs makes: run node deploy/grafana/dashboard.mjs');
  process.exitCode = 1;
}
