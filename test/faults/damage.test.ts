/**
 * Torn tails and flipped bits in the files of a real run, from outside: `tail` prints nothing that was not sent, `verify`
 * reports them, a restart continues. test/storage tries every offset and bit.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { assertAccepted } from '../support/assertions.ts';
import { bodyOf, metric, namesBody } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { runCli, startServer, temporaryDirectory, verify } from '../support/server-process.ts';
import { readStored, type StoredMetric, segmentPaths } from '../support/stored.ts';

const LONG = process.env.METRICSSTREAM_LONG === '1';
const SAMPLES = LONG ? 60 : 8;
const ARGS = ['--workers', '1', '--segment-bytes', '64k'];

/** A directory as `kill -9` leaves it: several files, the last one not closed. */
const original = await recordedRun({ after });
const sent: readonly StoredMetric[] = readStored(original);

async function recordedRun(owner: Owner): Promise<string> {
  const server = await startServer(owner, { args: ARGS });
  const connection = await RawConnection.open(server.port);
  for (let request = 0; request < 300; request++) {
    const metrics = Array.from({ length: 5 }, (_, k) => metric(`damage.${request}`, k));
    assertAccepted(await connection.request(postRequest(bodyOf(metrics))), 5);
  }
  connection.close();
  server.kill('SIGKILL');
  await server.exited;
  return server.dataDir;
}

function copyOf(owner: Owner): string {
  const directory = temporaryDirectory(owner);
  cpSync(original, directory, { recursive: true });
  return directory;
}

const keyOf = ({ name, value }: StoredMetric) => `${name} ${value}`;

/** The output of `tail`; every line must equal one that was sent. */
async function tailed(directory: string): Promise<StoredMetric[]> {
  const { stdout } = await runCli(['tail', '-n', 'all', '--data-dir', directory]);
  const known = new Map(sent.map((item) => [keyOf(item), item]));
  const items = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StoredMetric & { seal?: unknown });
  for (const { seal: _, ...item } of items) {
    if (item.name === 'after') continue;
    assert.deepEqual(item, known.get(keyOf(item)), 'tail served what was not sent');
  }
  return items;
}

/** The last byte of a file that is neither room not yet used nor its line's end. */
function contentEnd(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0)) end -= 1;
  return end;
}

/** Starts on the damaged directory, stores one more metric, stops; the directory must then verify. */
async function restartOn(owner: Owner, directory: string): Promise<void> {
  const server = await startServer(owner, { args: ARGS, dataDir: directory });
  const connection = await RawConnection.open(server.port);
  assertAccepted(await connection.request(postRequest(namesBody('after'))), 1);
  connection.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
}

describe('the undamaged directory', () => {
  it('has several files, verifies, and is served whole', async () => {
    assert.ok(segmentPaths(original).length >= 3);
    assert.equal(sent.length, 1500);
    const { code, stdout, stderr } = await verify(original);
    assert.equal(code, 0, stdout + stderr);
    assert.equal((await tailed(original)).length, 1500);
  });
});

describe('a torn tail', () => {
  const last = segmentPaths(original).at(-1)!;
  const end = contentEnd(readFileSync(last));
  for (let sample = 0; sample < SAMPLES; sample++) {
    const cutBytes = 1 + Math.round((sample * 299) / SAMPLES);
    it(`of ${cutBytes} bytes loses only the commits it touches, and a restart continues`, async (t) => {
      const directory = copyOf(t);
      truncateSync(join(directory, basename(last)), end - cutBytes);
      const served = await tailed(directory);
      assert.deepEqual(
        served.map(keyOf),
        sent.slice(0, served.length).map(keyOf),
        'what is served is the beginning of what was sent',
      );
      assert.ok(served.length >= 1500 - 5 * Math.ceil(cutBytes / 400 + 1), `only ${served.length} are left`);
      await restartOn(t, directory);
      assert.deepEqual((await tailed(directory)).map(keyOf), [...served.map(keyOf), 'after 1']);
      assert.deepEqual(readStored(directory).map(keyOf), [...served.map(keyOf), 'after 1']);
      assert.equal((await verify(directory)).code, 0);
    });
  }

  it('of garbage is dropped', async (t) => {
    const directory = copyOf(t);
    const path = join(directory, basename(last));
    const whole = readFileSync(path).subarray(0, end + 1);
    const ghost = JSON.stringify({ timestamp: 1, name: 'ghost', value: 1, type: 'gauge' });
    writeFileSync(path, Buffer.concat([whole, Buffer.from(`${ghost}\n${ghost}\n{"timest`)]));
    assert.equal((await tailed(directory)).length, 1500);
    await restartOn(t, directory);
    assert.equal((await tailed(directory)).length, 1501);
  });
});

describe('a flipped bit', () => {
  const paths = segmentPaths(original);
  for (let sample = 0; sample < SAMPLES; sample++) {
    it(`is reported with its place and not served (sample ${sample + 1} of ${SAMPLES})`, async (t) => {
      const directory = copyOf(t);
      const name = basename(paths[sample % paths.length]!);
      const bytes = readFileSync(join(directory, name));
      const at = Math.floor(Math.random() * contentEnd(bytes));
      const bit = Math.floor(Math.random() * 8);
      t.diagnostic(`${name}, byte ${at}, bit ${bit}`);
      bytes[at] = bytes[at]! ^ (1 << bit);
      writeFileSync(join(directory, name), bytes);

      const { code, stdout, stderr } = await verify(directory);
      assert.equal(code, 1, stdout + stderr);
      assert.ok((stdout + stderr).includes(name), stdout + stderr);
      const served = await tailed(directory);
      assert.ok(served.length < 1500, 'the damaged commit was served');
      assert.ok(served.length >= 1500 - 3 * 5, `${1500 - served.length} metrics were kept back for one bit`);
      await restartOn(t, directory);
      assert.deepEqual((await tailed(directory)).map(keyOf), [...served.map(keyOf), 'after 1']);
    });
  }
});
