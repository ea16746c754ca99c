import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LogOutput } from '../../src/base/log-output.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const FLUSH_MS = 10_000;

function pipeIn(t: TestContext): string {
  const path = join(temporaryDirectory(t), 'pipe');
  assert.equal(spawnSync('mkfifo', [path]).status, 0);
  return path;
}

/** Everything that can be read now. */
function drain(fd: number): string {
  const chunk = Buffer.alloc(1 << 20);
  let text = '';
  for (;;) {
    try {
      const length = readSync(fd, chunk);
      if (length === 0) return text;
      text += chunk.toString('utf8', 0, length);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return text;
    }
  }
}

describe('the log output', () => {
  it('writes whole lines to a file, in order', async (t) => {
    const path = join(temporaryDirectory(t), 'log');
    const output = new LogOutput(path);
    const lines = Array.from({ length: 5_000 }, (_, k) => `line ${k}\n`);
    for (const line of lines) output.write(line);
    await output.end(FLUSH_MS);
    assert.equal(readFileSync(path, 'utf8'), lines.join(''));
    assert.equal(output.lostLines, 0);
  });

  it('counts the lines that a full disk does not take', () => {
    const output = new LogOutput('/dev/full');
    for (let k = 0; k < 10; k++) output.write('{"msg":"lost"}\n');
    assert.equal(output.lostLines, 10);
  });

  it('never blocks on a pipe that nobody reads, loses whole lines, and reports them when the reader reads', async (t) => {
    const path = pipeIn(t);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    onEnd(t, () => closeSync(reader));
    const output = new LogOutput(path);
    let reported = 0;
    output.onRecovered = (lines) => {
      reported += lines;
    };
    const line = (k: number) => `${JSON.stringify({ k, pad: 'x'.repeat(500) })}\n`;
    const written = 6_000;
    for (let k = 0; k < written; k++) output.write(line(k));
    assert.ok(output.lostLines > 1_000, `${output.lostLines} lost`);
    let text = '';
    await eventually('the queue is read', () => {
      text += drain(reader);
      return text.split('\n').length - 1 === written - output.lostLines;
    });
    const kept = text.trimEnd().split('\n');
    assert.deepEqual(
      kept,
      Array.from({ length: kept.length }, (_, k) => line(k).trimEnd()),
    );
    output.write('after\n');
    assert.equal(drain(reader), 'after\n');
    assert.equal(reported, output.lostLines);
  });

  it('goes on when the reader of a pipe goes away, and again when another one comes', (t) => {
    const path = pipeIn(t);
    const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const output = new LogOutput(path);
    output.write('one\n');
    assert.equal(drain(first), 'one\n');
    closeSync(first);
    output.write('two\n');
    assert.equal(output.lostLines, 1);
    const second = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    onEnd(t, () => closeSync(second));
    output.write('three\n');
    assert.equal(drain(second), 'three\n');
  });

  it('begins a new line after several lost ones, the first of which was written in part', async (t) => {
    const path = pipeIn(t);
    const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const output = new LogOutput(path);
    // More than a pipe holds.
    output.write(`${'a'.repeat(100_000)}\n`);
    closeSync(first);
    await eventually('the rest of the line is lost', () => output.lostLines === 1);
    output.write('lost\n');
    assert.equal(output.lostLines, 2);
    const second = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    onEnd(t, () => closeSync(second));
    assert.match(drain(second), /^a+$/);
    output.write('whole\n');
    assert.equal(drain(second), '\nwhole\n');
    assert.equal(output.lostLines, 2);
  });

  it('opens its file again after it was renamed, and keeps the old one if that fails', async (t) => {
    const path = join(temporaryDirectory(t), 'log');
    const output = new LogOutput(path);
    output.write('before\n');
    await output.end(FLUSH_MS);
    renameSync(path, `${path}.1`);
    output.write('between\n');
    await output.end(FLUSH_MS);
    assert.equal(output.reopen(), null);
    output.write('after\n');
    await output.end(FLUSH_MS);
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'before\nbetween\n');
    assert.equal(readFileSync(path, 'utf8'), 'after\n');
  });

  it('creates its file again after it was deleted, and keeps the old one while that fails', async (t) => {
    const directory = join(temporaryDirectory(t), 'logs');
    mkdirSync(directory);
    const path = join(directory, 'log');
    const output = new LogOutput(path);
    let deletions = 0;
    output.onDeleted = () => {
      deletions += 1;
    };
    output.write('before\n');
    await output.end(FLUSH_MS);
    rmSync(directory, { recursive: true });
    output.write('nowhere\n');
    await output.end(FLUSH_MS);
    mkdirSync(directory);
    output.write('after\n');
    output.write('again\n');
    await output.end(FLUSH_MS);
    assert.equal(readFileSync(path, 'utf8'), 'after\nagain\n');
    assert.equal(deletions, 1);
    assert.equal(output.lostLines, 0);
  });
});
