/** Idempotency keys while storage stalls or refuses, after a restart, and in a full table. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { Scrape } from '../support/exposition.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { assertReplay, sendKeyed, storedCount } from '../support/keyed-requests.ts';
import { post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, StartFailed, startServer, temporaryDirectory } from '../support/server-process.ts';
import { segmentPaths } from '../support/stored.ts';

const PREFIX = 'metricsstream_idempotency_';
const NOBODY = 65_534;
/** Root reads any file, so a server that must not read one runs as another user. */
const AS_NOBODY =
  process.getuid?.() === 0
    ? ['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups']
    : [];

for (const phase of ['2', '6']) {
  describe(`a request that storage keeps waiting, phase ${phase}`, () => {
    it('answers 409 to its key until its fate is known, then its response', async (t) => {
      const faults = new FaultSwitch(t);
      const args = ['--phase', phase, '--workers', '1', '--request-timeout-ms', '500'];
      const server = await startServer(t, { args, env: faults.env, dataDir: memoryDirectory(t) });
      const release = faults.hangSyncs();
      const name = uniqueName('late');
      assertProblem(await sendKeyed(server, name, namesBody(name)), 504);
      const conflict = await sendKeyed(server, name, namesBody(name));
      assertProblem(conflict, 409);
      assert.equal(assertRetryAfter(conflict), 1);
      assert.equal((await Scrape.of(server.port)).sum(`${PREFIX}in_flight`), 1);
      release();
      let answer = conflict;
      await eventually('the fate is known', async () => {
        answer = await sendKeyed(server, name, namesBody(name));
        return answer.status !== 409;
      });
      assertAccepted(answer, 1);
      assert.equal(answer.header('idempotency-replayed'), 'true');
      assert.equal(storedCount(server.dataDir, name), 1);
    });
  });
}

describe('a request that storage refuses', () => {
  it('leaves its key free', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, {
      args: ['--workers', '1', '--phase', '6', '--breaker-failures', '1000'],
      env: faults.env,
    });
    assertAccepted(await sendKeyed(server, 'first', namesBody(uniqueName('warm'))), 1);
    const hasStruck = faults.failAt('write', 1, 'EIO');
    const name = uniqueName('refused');
    assertProblem(await sendKeyed(server, name, namesBody(name)), 503);
    assert.ok(hasStruck());
    faults.clear();
    const answer = await sendKeyed(server, name, namesBody(name));
    assertAccepted(answer, 1);
    assert.equal(answer.header('idempotency-replayed'), undefined);
    assert.equal(storedCount(server.dataDir, name), 1);
  });
});

describe('a request with a key', () => {
  it('gets 503 while every entry is in flight, and its body counts as parsed', async (t) => {
    const faults = new FaultSwitch(t);
    const args = ['--phase', '6', '--workers', '1', '--idempotency-keys', '64'];
    const patience = ['--request-timeout-ms', '500', '--target-delay-ms', '0', '--sync-timeout-ms', '60000'];
    const server = await startServer(t, {
      args: [...args, ...patience],
      env: faults.env,
      dataDir: memoryDirectory(t),
    });
    const release = faults.hangSyncs();
    const body = namesBody(uniqueName('in-flight'));
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, k) => sendKeyed(server, `key-${k}`, body)),
    );
    for (const answer of answers) assertProblem(answer, 504);
    const problem = assertProblem(await sendKeyed(server, 'another', body), 503);
    assert.equal(problem.type, 'urn:metricsstream:problem:idempotency_full');
    const scrape = await Scrape.of(server.port);
    assert.equal(scrape.sum('metricsstream_bodies_parsed_total', 'result="ok"'), 65);
    release();
  });

  it('gets 503 and the log names the reason when the secret cannot be read', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const path = join(server.dataDir, '.idempotency-secret');
    mkdirSync(path);
    const name = uniqueName('secret');
    for (let k = 0; k < 2; k++) {
      const problem = assertProblem(await sendKeyed(server, name, namesBody(name)), 503);
      assert.equal(problem.type, 'urn:metricsstream:problem:disk_failed');
    }
    const reports = () => server.logs.filter(({ msg }) => String(msg).includes('.idempotency-secret'));
    await eventually('the reason is logged', () => reports().length > 0);
    assert.match(String(reports()[0]!.reason), /EISDIR/);
    rmdirSync(path);
    assertAccepted(await sendKeyed(server, name, namesBody(name)), 1);
    assert.equal(reports().length, 1);
  });
});

describe('after a restart', () => {
  it('keys are recognised within their window', async (t) => {
    const dataDir = temporaryDirectory(t);
    const body = namesBody(uniqueName('restart'));
    const before = await startServer(t, { dataDir });
    const first = await sendKeyed(before, 'key', body);
    await before.stop();
    const after = await startServer(t, { dataDir });
    assertReplay(await sendKeyed(after, 'key', body), first);
    assertProblem(await sendKeyed(after, 'key', namesBody(uniqueName('other'))), 422);
    assert.equal((await Scrape.of(after.port)).sum(`${PREFIX}restored_keys`), 1);
  });

  it('keys whose window has ended are free', async (t) => {
    const dataDir = temporaryDirectory(t);
    const args = ['--idempotency-window-ms', '1s'];
    const name = uniqueName('window');
    const before = await startServer(t, { dataDir, args });
    assertAccepted(await sendKeyed(before, 'key', namesBody(name)), 1);
    const storedMs = Date.now();
    await before.stop();
    // The window counts whole seconds.
    await eventually('the window has ended', () => Date.now() - storedMs > 2_000);
    const after = await startServer(t, { dataDir, args });
    const again = await sendKeyed(after, 'key', namesBody(name));
    assert.equal(again.header('idempotency-replayed'), undefined);
    assert.equal(storedCount(dataDir, name), 2);
  });

  it('a key counts only if the seal of its commit proves it', async (t) => {
    const dataDir = temporaryDirectory(t);
    const before = await startServer(t, { dataDir });
    const names = ['one', 'two', 'three'].map((name) => uniqueName(name));
    for (const name of names) assertAccepted(await sendKeyed(before, name, namesBody(name)), 1);
    await before.stop();
    const [path = ''] = segmentPaths(dataDir);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(`"name":"${names[1]}"`, `"name":"${names[1]!.replace('two', 'tvo')}"`));
    const after = await startServer(t, { dataDir });
    const replayed = [];
    for (const name of names)
      replayed.push((await sendKeyed(after, name, namesBody(name))).header('idempotency-replayed'));
    assert.deepEqual(replayed, ['true', undefined, 'true']);
  });

  it('keys in a closed segment that cannot be read are forgotten, and a warning names it', async (t) => {
    const dataDir = temporaryDirectory(t);
    if (AS_NOBODY.length > 0) chownSync(dataDir, NOBODY, NOBODY);
    const bodies = ['first', 'second'].map((name) => namesBody(uniqueName(name)));
    for (const [k, body] of bodies.entries()) {
      const server = await startServer(t, { dataDir, wrapper: AS_NOBODY });
      assertAccepted(await sendKeyed(server, `key-${k}`, body), 1);
      await server.stop();
    }
    const [closed = ''] = segmentPaths(dataDir);
    chmodSync(closed, 0);
    const server = await startServer(t, { dataDir, wrapper: AS_NOBODY });
    const warning = await server.logged(({ msg }) =>
      /keys in these segments are forgotten/.test(String(msg)),
    );
    assert.equal(warning.level, 'warn');
    assert.deepEqual(warning.segments, [`${basename(closed)}: permission denied (EACCES)`]);
    const replayed = [];
    for (const [k, body] of bodies.entries())
      replayed.push((await sendKeyed(server, `key-${k}`, body)).header('idempotency-replayed'));
    assert.deepEqual(replayed, [undefined, 'true']);
  });

  it('a directory without keys is not searched for them', async (t) => {
    const dataDir = temporaryDirectory(t);
    const before = await startServer(t, { dataDir });
    assertAccepted(await post(before.port, namesBody(uniqueName('plain'))), 1);
    await before.stop();
    const after = await startServer(t, { dataDir });
    assert.ok(!after.output().includes('idempotency keys'), after.output());
  });

  it('the secret is for its owner, and a damaged one stops the start with a remedy', async (t) => {
    const dataDir = temporaryDirectory(t);
    const before = await startServer(t, { dataDir });
    assertAccepted(await sendKeyed(before, 'key', namesBody(uniqueName('secret'))), 1);
    await before.stop();
    const path = join(dataDir, '.idempotency-secret');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.ok(!readFileSync(segmentPaths(dataDir)[0]!, 'utf8').includes(readFileSync(path, 'utf8').trim()));
    writeFileSync(path, 'not a secret');
    await assert.rejects(startServer(t, { dataDir }), (error: StartFailed) => {
      assert.ok(error instanceof StartFailed);
      assert.match(error.output, /^metricsstream: [^\n]+\.idempotency-secret does not hold[^\n]+\n$/);
      return true;
    });
  });
});

describe('the table of keys', () => {
  it('forgets the oldest when it is full, counts them, and stays within its memory', async (t) => {
    const server = await startServer(t, { args: ['--idempotency-keys', '64', '--workers', '1'] });
    const connection = await RawConnection.open(server.port);
    const body = namesBody(uniqueName('full'));
    for (let k = 0; k < 300; k++) {
      const response = await connection.request(
        postRequest(body, { headers: { 'Idempotency-Key': `k${k}` } }),
      );
      assertAccepted(response, 1);
    }
    connection.close();
    const scrape = await Scrape.of(server.port);
    assert.equal(scrape.sum(`${PREFIX}capacity`), 64);
    assert.equal(scrape.sum(`${PREFIX}keys`), 64);
    assert.equal(scrape.sum(`${PREFIX}evictions_total`), 300 - 64);
    assert.equal(scrape.sum(`${PREFIX}window_seconds`), 600);
    assert.equal((await sendKeyed(server, 'k299', body)).header('idempotency-replayed'), 'true');
  });
});
