/** `metricsstream archive` as operators run it: beside a server, on a full or read-only disk, twice at once. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ArchiveMetrics } from '../../src/archive/metrics.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { eventually } from '../support/assertions.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { ROOT } from '../support/deploy-files.ts';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { runCli, startCli, startServer, verify } from '../support/server-process.ts';
import { countNames } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');
const ONCE = ['archive', '--once', '--priority', 'normal', '--data-dir'];
const texts = Array.from({ length: 4 }, (_, commit) =>
  Array.from({ length: 200 }, (__, k) =>
    lineOf({ timestamp: NOON + k, name: `m.${commit}.${k}`, value: Math.random(), tags: { host: `h${k}` } }),
  ).join(''),
);

/** The one line that a command wrote to standard error. */
function onlyLine(stderr: string): string {
  assert.match(stderr, /^metricsstream: [^\n]+\n$/);
  return stderr;
}

describe('metricsstream archive', () => {
  const owner = suiteOwner();

  it('runs beside a server, which takes its deletions for what they are', async () => {
    const server = await startServer(owner, { args: ['--workers', '1', '--segment-bytes', '64k'] });
    const load = new TrackedLoad(server.port, { prefix: 'beside', connections: 2, batchMax: 40, pauseMs: 2 });
    const args = ['--interval', '100ms', '--delete-segments', '--priority', 'normal', '--metrics-port', '0'];
    const archiver = startCli(owner, ['archive', '--data-dir', server.dataDir, ...args]);
    const port = (): number => {
      const line = archiver.lines.find((text) => text.includes('serving metrics'));
      return line === undefined ? 0 : (JSON.parse(line) as { port: number }).port;
    };
    await archiver.until(() => port() > 0);
    const metric = async (name: string): Promise<number> => {
      const { body } = await fetchOnce(port(), { path: '/metrics' });
      return Number(new RegExp(`^metricsstream_archive_${name} (\\S+)$`, 'm').exec(body.toString())?.[1]);
    };
    await eventually(
      'segments are archived and deleted',
      async () => (await metric('segments_deleted_total')) > 1,
    );
    await load.stop();
    assert.equal((await fetchOnce(port(), { path: '/health' })).status, 200);
    assert.equal(await metric('up'), 1);
    assert.ok((await metric('lines_total')) > 0);
    // The server checks closed segments once a second.
    const second = server.logged(({ msg }) => msg === 'another process changed closed segments', 2_500);
    await assert.rejects(second, /no such log line/);
    archiver.kill('SIGTERM');
    assert.deepEqual(await archiver.exited, { code: 0, signal: null });
    const { stdout } = await runCli([
      'query',
      '--data-dir',
      server.dataDir,
      'SELECT name, count(*) FROM metrics GROUP BY name',
    ]);
    const counts = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((row): [string, number] => {
        const [name = '', count] = row.split(',');
        return [name, Number(count)];
      });
    load.ledger.check(new Map(counts), 'beside.');
    await server.stop();
    const { code, stdout: text } = await verify(server.dataDir);
    assert.equal(code, 0, text);
  });

  it('goes on when its cursor file cannot be written, or the data directory is away', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store(texts.slice(0, 2));
    const cursorFile = join(rig.dataDir, 'exports', 'archive.json');
    // In the place of the file that is renamed.
    fs.mkdirSync(`${cursorFile}.new`, { recursive: true });
    const args = ['--interval', '100ms', '--priority', 'normal', '--log-level', 'debug'];
    const archiver = startCli(owner, ['archive', '--data-dir', rig.dataDir, ...args]);
    const count = (text: string) => archiver.lines.filter((line) => line.includes(text)).length;
    await archiver.until(() => count('nothing to archive') > 1);
    assert.equal(count('cannot report how far the archive is'), 1);
    fs.rmdirSync(`${cursorFile}.new`);
    await eventually('the cursor file is written', () => fs.existsSync(cursorFile));
    const away = `${rig.dataDir}-away`;
    fs.renameSync(rig.dataDir, away);
    await archiver.until(() => count('ARCHIVE_FAILED') > 1);
    assert.equal(fs.existsSync(rig.dataDir), false);
    fs.renameSync(away, rig.dataDir);
    await rig.store(texts.slice(2));
    await eventually('all is archived', () => rig.manifest().archivedLines > 4 * 200);
    archiver.kill('SIGTERM');
    assert.deepEqual(await archiver.exited, { code: 0, signal: null });
    assert.equal((await verify(rig.dataDir)).code, 0);
  });

  it('documents its metrics', async () => {
    const { registry } = new ArchiveMetrics({
      ...{ commits: 0, lines: 0, sourceBytes: 0, writtenBytes: 0 },
      ...{ segmentsDeleted: 0, merges: 0, expiredFiles: 0, expiredLines: 0 },
    });
    const page = fs.readFileSync(join(ROOT, 'docs', 'archive.md'), 'utf8');
    for (const { name, help, type } of await registry.getMetricsAsJSON()) {
      assert.ok(
        page.includes(`| \`${name.replace('metricsstream_archive_', '')}\` | ${type} | ${help} |`),
        name,
      );
    }
  });

  it('refuses a second archiver, a directory without a log, and wrong options, in one line', async () => {
    const rig = new ArchiveRig(owner);
    await rig.store(texts);
    const first = startCli(owner, ['archive', '--data-dir', rig.dataDir, '--priority', 'normal']);
    await first.until((lines) => lines.some((line) => line.includes('archived')));
    const second = await runCli([...ONCE, rig.dataDir]);
    assert.equal(second.code, 1);
    assert.match(onlyLine(second.stderr), /another process archives in/);
    fs.mkdirSync(join(rig.dataDir, 'empty'));
    const empty = await runCli([...ONCE, join(rig.dataDir, 'empty')]);
    assert.equal(empty.code, 1);
    assert.match(onlyLine(empty.stderr), /has no log\.json/);
    for (const wrong of [
      ['--max-memory', '10m'],
      ['--interval', '5x'],
      ['--required-sinks', 'A B'],
      ['--metrics-port', '99999'],
    ]) {
      const { code, stderr } = await runCli([...ONCE, rig.dataDir, ...wrong]);
      assert.equal(code, 2, stderr);
      assert.match(onlyLine(stderr), new RegExp(wrong[0]!));
    }
  });
});

describe('a disk that takes nothing', { skip: mountRefusal() ?? false }, () => {
  const owner = suiteOwner();

  it('costs one line, loses nothing, and ends when there is room', async () => {
    const mount = await PrivateMount.open(owner);
    await mount.run(`mount -t tmpfs -o size=4m tmpfs ${mount.inside}`);
    const rig = new ArchiveRig(owner, mount.directory);
    await rig.store(texts);
    const before = countNames(await rig.metrics());
    const filler = join(mount.directory, 'filler');
    assert.throws(() => fs.writeFileSync(filler, Buffer.alloc(8 << 20)), /ENOSPC/);
    const full = await runCli([...ONCE, mount.directory, '--delete-segments']);
    assert.equal(full.code, 1);
    assert.match(onlyLine(full.stderr), /(no space|No space|not enough space).*Nothing is lost/i);
    assert.deepEqual(countNames(await rig.metrics()), before);
    fs.unlinkSync(filler);
    await mount.run(`mount -o remount,ro ${mount.inside}`);
    const readOnly = await runCli([...ONCE, mount.directory]);
    assert.equal(readOnly.code, 1);
    assert.match(onlyLine(readOnly.stderr), /read-only file system/i);
    await mount.run(`mount -o remount,rw ${mount.inside}`);
    const { code, stderr } = await runCli([...ONCE, mount.directory, '--delete-segments']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(countNames(await rig.metrics()), before);
    assert.equal(rig.segments().length, 1);
  });
});
