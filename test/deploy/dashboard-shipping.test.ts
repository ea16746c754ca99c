/**
 * The panels of export, consume and archive against these processes at work, scraped by a real Prometheus: every query must
 * find data.
 */
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { bodyOf } from '../support/bodies.ts';
import { dashboard, findsData, isNumber, isShipping, panels, substituted } from '../support/dashboard.ts';
import { requirePipeline, startPipeline } from '../support/pipeline.ts';
import { Prometheus } from '../support/prometheus.ts';
import { post } from '../support/raw-http.ts';
import { type CliProcess, startCli, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const PAUSE_MS = 100;
const BATCH = 200;
const METRICS = ['--metrics-port', '0'];
/** Some segments a second, so that the archive always has something to do. */
const SERVE = ['--workers', '1', '--segment-bytes', '64k'];
const ARCHIVE = ['archive', '--interval', '500ms', '--priority', 'normal'];

/** Where a process serves its metrics. */
async function targetOf({ lines, until }: CliProcess): Promise<string> {
  await until((all) => all.some((line) => line.includes('serving metrics')));
  const line = lines.find((one) => one.includes('serving metrics'))!;
  return `127.0.0.1:${(JSON.parse(line) as { port: number }).port}`;
}

describe('in a Prometheus that scrapes export, consume and archive', {
  skip: requireTool('prometheus') || requirePipeline(),
}, () => {
  const cleanups: (() => unknown)[] = [];
  let prometheus: Prometheus;

  before(async () => {
    const owner = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
    const [{ exportArgs, consumeArgs }, server] = await Promise.all([
      startPipeline(owner),
      startServer(owner, { args: SERVE }),
    ]);
    const { dataDir, port } = server;
    const posting = setInterval(() => {
      const metrics = Array.from({ length: BATCH }, (_, value) => ({ name: `shipped.${value}`, value }));
      void post(port, bodyOf(metrics)).catch(() => {});
    }, PAUSE_MS);
    owner.after(() => clearInterval(posting));
    const processes = [
      [...exportArgs(dataDir), '--range-age', '20ms'],
      consumeArgs,
      [...ARCHIVE, '--data-dir', dataDir],
    ].map((args) => startCli(owner, [...args, ...METRICS]));
    const targets = await Promise.all(processes.map(targetOf));
    prometheus = await Prometheus.start(owner, targets, []);
    await eventually('the consumer has been scraped at work', async () =>
      (await prometheus.query('rate(metricsstream_consume_batches_total[10s]) > 0')).some(isNumber),
    );
  });

  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  for (const { title, targets = [] } of panels.filter(isShipping)) {
    it(`panel "${title}" finds data with each of its queries`, async () => {
      for (const { expr } of targets) await findsData(prometheus, substituted(expr));
    });
  }

  it('the variables offer these processes, too', async () => {
    const variables = dashboard.templating.list.filter(({ name }) => name === 'job' || name === 'instance');
    for (const { definition = '' } of variables) {
      const [, series = ''] = /^label_values\((.+), \w+\)$/.exec(definition) ?? [];
      await findsData(prometheus, substituted(series));
    }
  });
});
