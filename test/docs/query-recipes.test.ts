/** Runs every recipe of docs/query.md over metrics that a server stored. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { suiteOwner } from '../support/clean-up.ts';
import { ROOT } from '../support/deploy-files.ts';
import { asker } from '../support/query-rows.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';
import { blocksOf } from './blocks.ts';

const BASE_MS = Date.UTC(2023, 10, 14, 22, 0);
const MINUTES = 12;
const STEP_MS = 10_000;
/** Longer than the gap that a recipe looks for. */
const GAP_MS = 400_000;
/** The lines from which DuckDB guesses types. */
const SAMPLE_LINES = 20_480;

/** Gauges with a gap, counters with a restart, latencies. */
function exampleMetrics() {
  return Array.from({ length: MINUTES * 6 }, (_, step) => step).flatMap((step) =>
    [0, 1, 2].flatMap((host) => {
      const tags = { host: `web-${host}`, region: host === 0 ? 'eu' : 'us' };
      const timestamp = BASE_MS + step * STEP_MS + (step > 40 ? GAP_MS : 0);
      return [
        { name: 'cpu.usage', type: 'gauge', value: host * 10 + step / 10, timestamp, tags },
        { name: 'http.requests', type: 'counter', value: (step % 50) * 20, timestamp, tags },
        { name: 'http.latency', type: 'histogram', value: (step * 7) % 100, timestamp, tags },
      ];
    }),
  );
}

/** As DuckDB's command line, for \`duckdb -c\`: it is not a package of Debian. */
const DUCKDB = `#!/usr/bin/env node
import { DuckDBConnection } from '@duckdb/node-api';
const connection = await DuckDBConnection.create();
const reader = await connection.runAndReadAll(process.argv[3]);
console.log(JSON.stringify(reader.getRowsJson()));
`;

describe('docs/query.md', () => {
  const owner = suiteOwner();
  const blocks = blocksOf(join(ROOT, 'docs/query.md'));
  let directory: string;
  let dataDir: string;

  before(async () => {
    directory = temporaryDirectory(owner, 'metricsstream-docs-');
    dataDir = join(directory, 'data');
    const server = await startServer(owner, { dataDir });
    const connection = await RawConnection.open(server.port);
    const response = await connection.request(postRequest(JSON.stringify({ metrics: exampleMetrics() })));
    assert.equal(response.status, 200, response.body.toString());
    connection.close();
    await server.stop();
    for (const name of ['dist', 'node_modules', 'package.json'])
      symlinkSync(join(ROOT, name), join(directory, name));
    writeFileSync(join(directory, 'duckdb'), DUCKDB, { mode: 0o755 });
  });

  for (const { language, text, line } of blocks) {
    if (language === 'sql') {
      it(`line ${line}: the SQL has rows`, async () => {
        const { rows } = await asker(owner, dataDir)(text);
        assert.ok(rows.length > 0, text);
      });
    } else if (language === 'sh') {
      it(`line ${line}: the command prints something`, (t) => {
        const missing = text.includes('jq') && requireTool('jq');
        if (missing) return t.skip(missing);
        const path = [directory, dirname(process.execPath), process.env.PATH].join(':');
        const env = { ...process.env, PATH: path, METRICSSTREAM_DATA_DIR: dataDir };
        const { status, stdout, stderr } = spawnSync('sh', ['-c', text], {
          cwd: directory,
          env,
          encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
        assert.notEqual(stdout, '');
      });
    } else it(`line ${line}: the block is one that is only shown`, () => assert.equal(language, 'console'));
  }

  it('the rate macro counts a restart, and nothing else, as one', async () => {
    const { rows } = await asker(
      owner,
      dataDir,
    )(`
      SELECT sum(rate * 60) FROM rate('http.requests', INTERVAL 1 MINUTE) WHERE tags['host'] = 'web-0'`);
    // 49 steps of 20 to the restart at 0, then 21 more.
    assert.equal(Math.round(rows[0]![0] as number), (49 + 21) * 20);
  });

  it('DuckDB rounds fractions that follow enough integers, unless the types are given', async () => {
    const file = join(directory, 'integers.ndjson');
    const lines = [...Array.from({ length: SAMPLE_LINES + 1 }, () => '{"value":1}'), '{"value":1.5}', ''];
    writeFileSync(file, lines.join('\n'));
    const { DuckDBConnection } = await import('@duckdb/node-api');
    const connection = await DuckDBConnection.create();
    const greatest = async (options: string) =>
      (
        await connection.runAndReadAll(`SELECT max(value)::DOUBLE FROM read_json('${file}'${options})`)
      ).getRows();
    assert.deepEqual(await greatest(''), [[2]]);
    assert.deepEqual(await greatest(`, columns = {value: 'DOUBLE'}`), [[1.5]]);
  });
});
