/**
 * A network that cuts exporters and a consumer off from their sinks, without a word to either side, and comes back. POST
 * must not notice, nothing is lost and nothing is stored twice, whoever shipped the log meanwhile.
 */
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { startNats } from '../support/nats-server.ts';
import { NetworkCell, networkRefusal } from '../support/network-cell.ts';
import { assertSame, init, requirePipeline } from '../support/pipeline.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { post } from '../support/raw-http.ts';
import { type CliProcess, type ServerProcess, startCli, startServer } from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const ANYWHERE = '0.0.0.0';
/** A connection that goes silent is given up after these. */
const IMPATIENT = ['--statement-timeout', '1s', '--connect-timeout', '1s'];
const EXIT_FENCED = 3;

interface Rig {
  readonly cell: NetworkCell;
  readonly postgres: Postgres;
  readonly consumed: string;
  readonly server: ServerProcess;
  /** The URLs of the sinks as the host sees them, and as the cell does. */
  readonly postgresUrl: string;
  readonly natsUrl: string;
  fromCell(url: string): string;
  /** Starts a command in the cell. */
  startFar(args: readonly string[]): CliProcess;
}

async function startRig(owner: Owner): Promise<Rig> {
  const cell = await NetworkCell.open(owner);
  const [postgres, nats, server] = await Promise.all([
    startPostgres(owner, [`listen_addresses=${ANYWHERE}`]),
    startNats(owner, { host: ANYWHERE }),
    startServer(owner, { args: ['--workers', '1'] }),
  ]);
  appendFileSync(join(postgres.dataDir, 'pg_hba.conf'), `host all all ${ANYWHERE}/0 trust\n`);
  await postgres.query('SELECT pg_reload_conf()');
  const consumed = await postgres.createDatabase('consumed');
  await Promise.all([init(postgres.url), init(consumed), init(nats.url)]);
  return {
    ...{ cell, postgres, consumed, server, postgresUrl: postgres.url, natsUrl: nats.url },
    fromCell: (url) => url.replace('127.0.0.1', cell.hostAddress),
    startFar: (args) => startCli(owner, args, { wrapper: cell.wrapper }),
  };
}

const connected = (process: CliProcess): Promise<void> =>
  process.until((lines) => lines.some((line) => /"(connected|consuming)/.test(line)));

const TROUBLE = 'trying again';

/** A stalled disk makes impatient statements fail, too: that must be over, so that the trouble behind is of the cut. */
async function cutOff(cell: NetworkCell, exporters: readonly CliProcess[], postMore?: () => Promise<void>) {
  const lastOf = (lines: readonly string[], text: string) =>
    lines.findLastIndex((line) => line.includes(text));
  await Promise.all(
    exporters.map((one) => one.until((lines) => lastOf(lines, TROUBLE) <= lastOf(lines, 'ships again'))),
  );
  const linesBefore = exporters.map(({ lines }) => lines.length);
  cell.cut();
  await postMore?.();
  await Promise.all(
    exporters.map((one, k) => one.until((lines) => lastOf(lines, TROUBLE) >= linesBefore[k]!)),
  );
}

async function stored(postgres: Postgres, url: string): Promise<number> {
  const [row] = await postgres.queryOn<{ count: string }>(url, 'SELECT count(*) FROM ms_metrics');
  return Number(row!.count);
}

describe('a network that is cut', { concurrency: true, skip: networkRefusal() ?? requirePipeline() }, () => {
  it('and mended: exporters and a consumer go on where they were', async (t) => {
    const { cell, postgres, consumed, server, postgresUrl, natsUrl, fromCell, startFar } = await startRig(t);
    const { dataDir } = server;
    const processes = [
      ['export', '--to', fromCell(postgresUrl), '--data-dir', dataDir, ...IMPATIENT],
      ['export', '--to', fromCell(natsUrl), '--data-dir', dataDir],
      ['consume', '--from', fromCell(natsUrl), '--to', fromCell(consumed), '--ack-wait', '2s', ...IMPATIENT],
    ].map(startFar);
    await Promise.all(processes.map(connected));
    const load = new TrackedLoad(server.port, { prefix: 'cut', connections: 2, batchMax: 8, pauseMs: 5 });
    await eventually('rows arrive', async () => (await stored(postgres, consumed)) > 50);
    await cutOff(cell, processes.slice(0, 2));
    const before = load.ledger.acknowledged;
    await eventually('POST goes on', () => load.ledger.acknowledged > before + 50);
    cell.mend();
    await load.stop();
    for (const url of [postgresUrl, consumed])
      await eventually(
        'everything acknowledged is stored',
        async () => (await stored(postgres, url)) >= load.ledger.acknowledged,
        // A stalled disk makes impatient statements fail, and messages come again ever later.
        180_000,
      );
    assert.equal(
      load.ledger.count('acknowledged'),
      load.ledger.fates.size,
      'every POST was answered with 200',
    );
    await server.stop();
    for (const process of processes) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null }, process.lines.join('\n'));
    }
    for (const url of [postgresUrl, consumed]) await assertSame({ url }, dataDir);
  });

  it('while other exporters take over: those that were cut off are fenced when it is mended', async (t) => {
    const { cell, postgres, consumed, server, postgresUrl, natsUrl, fromCell, startFar } = await startRig(t);
    const { dataDir } = server;
    const exportArgs = (url: string): string[] => ['export', '--to', url, '--data-dir', dataDir];
    const postOne = async (): Promise<void> =>
      assertAccepted(await post(server.port, namesBody(uniqueName('cut'))), 1);
    const far = [
      startFar([...exportArgs(fromCell(postgresUrl)), ...IMPATIENT]),
      startFar(exportArgs(fromCell(natsUrl))),
    ];
    await postOne();
    await Promise.all(far.map(connected));
    const consume = startCli(t, ['consume', '--from', natsUrl, '--to', consumed, '--ack-wait', '2s']);
    await eventually('the far exporters ship', async () => (await stored(postgres, consumed)) === 1);
    await eventually('both do', async () => (await stored(postgres, postgresUrl)) === 1);
    await cutOff(cell, far, postOne);
    const near = [postgresUrl, natsUrl].map((url) => startCli(t, exportArgs(url)));
    for (const url of [postgresUrl, consumed])
      await eventually('the near exporters ship', async () => (await stored(postgres, url)) === 2);
    cell.mend();
    for (const process of far)
      assert.deepEqual(await process.exited, { code: EXIT_FENCED, signal: null }, process.lines.join('\n'));
    await postOne();
    for (const url of [postgresUrl, consumed])
      await eventually('the near exporters go on', async () => (await stored(postgres, url)) === 3);
    await server.stop();
    for (const process of [...near, consume]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null }, process.lines.join('\n'));
    }
    for (const url of [postgresUrl, consumed]) await assertSame({ url }, dataDir);
  });
});
