/**
 * The disk of the database fills up under load: a tablespace, which the database reports, and then everything including its
 * write-ahead log, which ends the database. POST must not notice, exporter and consumer say why once, and everything is
 * stored once there is room again.
 */
import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { codeOf } from '../../src/storage/file-ops.ts';
import { eventually } from '../support/assertions.ts';
import type { Owner } from '../support/clean-up.ts';
import { startNats } from '../support/nats-server.ts';
import { assertSame, init, requirePipeline } from '../support/pipeline.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { type CliProcess, startCli, startServer } from '../support/server-process.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const LOAD = { prefix: 'full', connections: 2, batchMax: 50, pauseMs: 2 } as const;
const FULL = 'the disk of the database is full';

/** A small file system of a test, and a file that takes what is left of it. */
class SmallDisk {
  readonly mount: PrivateMount;
  private readonly filler: string;

  private constructor(mount: PrivateMount) {
    this.mount = mount;
    this.filler = join(mount.directory, 'filler');
  }

  static async open(owner: Owner, megabytes: number): Promise<SmallDisk> {
    const mount = await PrivateMount.open(owner);
    await mount.run(`mount -t tmpfs -o size=${megabytes}m,mode=1777 tmpfs ${mount.inside}`);
    return new SmallDisk(mount);
  }

  fill(leftBytes: number): void {
    const { bavail, bsize } = statfsSync(this.mount.directory);
    try {
      writeFileSync(this.filler, Buffer.alloc(Math.max(0, bavail * bsize - leftBytes), 1));
    } catch (error) {
      // The database has taken some of the room meanwhile.
      if (codeOf(error) !== 'ENOSPC') throw error;
    }
  }

  free(): void {
    rmSync(this.filler);
  }
}

const says = (process: CliProcess, text: string): string[] =>
  process.lines.filter((line) => line.includes(text));

async function untilStored(postgres: Postgres, url: string, load: TrackedLoad): Promise<void> {
  const count = async (): Promise<number> => {
    const [row] = await postgres.queryOn<{ count: string }>(url, 'SELECT count(*) FROM ms_metrics');
    return Number(row!.count);
  };
  await eventually('everything acknowledged is stored', async () => {
    try {
      return (await count()) >= load.ledger.acknowledged;
    } catch {
      return false;
    }
  });
}

describe('a full disk of the database', { skip: mountRefusal() ?? requirePipeline() }, () => {
  it('under the tables: export and consume say so once, and go on by themselves when there is room', async (t) => {
    const disk = await SmallDisk.open(t, 64);
    const { wrapper, inside } = disk.mount;
    const [postgres, nats, server] = await Promise.all([
      startPostgres(t, [], { wrapper }),
      startNats(t),
      startServer(t, { args: ['--workers', '1'] }),
    ]);
    await disk.mount.run(`mkdir ${inside}/tables && chown postgres ${inside}/tables`);
    await postgres.query(`CREATE TABLESPACE small LOCATION '${inside}/tables'`);
    const consumed = await postgres.createDatabase('consumed');
    for (const database of ['postgres', 'consumed'])
      await postgres.query(`ALTER DATABASE ${database} SET default_tablespace = small`);
    await Promise.all([init(postgres.url), init(consumed), init(nats.url)]);
    const { dataDir } = server;
    const metricsPort = await freePort();
    const toPostgres = startCli(t, [
      ...['export', '--to', postgres.url, '--data-dir', dataDir, '--metrics-port', String(metricsPort)],
      // Another error, such as a late connection beside a stalled disk, would make it say the first one again.
      ...['--connect-timeout', '60s'],
    ]);
    const toNats = startCli(t, ['export', '--to', nats.url, '--data-dir', dataDir]);
    const consume = startCli(t, [
      ...['consume', '--from', nats.url, '--to', consumed, '--workers', '2', '--ack-wait', '2s'],
    ]);
    const load = new TrackedLoad(server.port, LOAD);
    await eventually('the load runs', () => load.ledger.acknowledged > 100);
    disk.fill(64 << 10);
    for (const process of [toPostgres, consume])
      await process.until((lines) => lines.some((line) => line.includes(FULL)));
    await eventually('export has connected and failed again', async () => {
      const { body } = await fetchOnce(metricsPort, { path: '/metrics' });
      return Number(/^metricsstream_export_retries_total(?:\{.*\})? (\d+)$/m.exec(body.toString())?.[1]) >= 3;
    });
    assert.equal((await fetchOnce(metricsPort, { path: '/health' })).status, 503);
    const before = load.ledger.acknowledged;
    await eventually('POST goes on', () => load.ledger.acknowledged > before + 100);
    disk.free();
    await load.stop();
    await untilStored(postgres, postgres.url, load);
    await untilStored(postgres, consumed, load);
    assert.equal(
      load.ledger.count('acknowledged'),
      load.ledger.fates.size,
      'every POST was answered with 200',
    );
    assert.equal(says(toPostgres, FULL).length, 1, toPostgres.lines.join('\n'));
    assert.ok(says(consume, FULL).length <= 2, `once for each worker:\n${consume.lines.join('\n')}`);
    await server.stop();
    for (const process of [toPostgres, toNats, consume]) {
      process.kill('SIGTERM');
      assert.deepEqual(await process.exited, { code: 0, signal: null }, process.lines.join('\n'));
    }
    await assertSame(postgres, dataDir);
    await assertSame({ url: consumed }, dataDir);
  });

  it('under all of it: the database ends, and everything arrives once it has been started again', async (t) => {
    const disk = await SmallDisk.open(t, 192);
    const { wrapper, inside: directory } = disk.mount;
    const [postgres, server] = await Promise.all([
      startPostgres(t, ['max_wal_size=32MB', 'min_wal_size=32MB'], { wrapper, directory }),
      startServer(t, { args: ['--workers', '1'] }),
    ]);
    await init(postgres.url);
    const { dataDir } = server;
    const exporter = startCli(t, ['export', '--to', postgres.url, '--data-dir', dataDir]);
    const load = new TrackedLoad(server.port, LOAD);
    await eventually('the load runs', () => load.ledger.acknowledged > 100);
    disk.fill(0);
    // The open segment of the database's log has room left; a switch makes it ask for another one.
    await postgres.query('SELECT pg_switch_wal()').catch(() => {});
    await exporter.until((lines) => lines.some((line) => line.includes('trying again')));
    const before = load.ledger.acknowledged;
    await eventually('POST goes on', () => load.ledger.acknowledged > before + 100);
    disk.free();
    await postgres.restart();
    await load.stop();
    await untilStored(postgres, postgres.url, load);
    assert.equal(
      load.ledger.count('acknowledged'),
      load.ledger.fates.size,
      'every POST was answered with 200',
    );
    await server.stop();
    exporter.kill('SIGTERM');
    assert.deepEqual(await exporter.exited, { code: 0, signal: null }, exporter.lines.join('\n'));
    await assertSame(postgres, dataDir);
  });
});
