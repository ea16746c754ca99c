import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { sinkMetrics } from '../../src/exposition/metrics/sinks.ts';
import { familyText } from '../../src/exposition/text-format.ts';
import { readCursorFiles } from '../../src/storage/cursor-file.ts';
import { temporaryDirectory } from '../support/server-process.ts';

it('the metrics of a sink leave out a figure that its cursor file lacks', async (t) => {
  const dataDir = temporaryDirectory(t);
  mkdirSync(join(dataDir, 'exports'));
  const cursor = { sink: 'old', log: 'l', commit: 7, updatedMs: 1, lagCommits: 3 };
  writeFileSync(join(dataDir, 'exports', 'old.json'), JSON.stringify(cursor));
  const readings = { sinks: await readCursorFiles(dataDir) };
  const text = sinkMetrics(readings)
    .map((metric) => familyText(metric)('text'))
    .join('\n');
  assert.match(text, /^metricsstream_sink_lag_commits\{sink="old"\} 3$/m);
  assert.doesNotMatch(text, /^metricsstream_sink_lag_bytes|undefined/m);
});
