/** The priority of an exporter, which shares a machine with its server. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import { onEnd } from '../support/clean-up.ts';
import { record } from '../support/damage.ts';
import { startCli } from '../support/server-process.ts';

/** Nothing listens there, so the exporter tries again and again. */
const NOWHERE = 'postgres://127.0.0.1:1/metrics';
/** Of /proc/PID/stat, behind the name in parentheses. */
const NICE_FIELD = 16;

function niceOf(path: string): number {
  const fields = readFileSync(`${path}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
  return Number(fields[NICE_FIELD]);
}

const niceOfThreads = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).map((thread) => niceOf(`/proc/${pid}/task/${thread}`));

describe('the priority of export', () => {
  for (const [args, steps] of [
    [[], 10],
    [['--priority', 'normal'], 0],
  ] as const) {
    it(`is ${steps} steps below that of its caller${args.map((arg) => ` ${arg}`).join('')}`, async (t) => {
      const { dataDir } = await record([1]);
      onEnd(t, () => rmSync(dataDir, { recursive: true }));
      const cli = startCli(t, ['export', '--to', NOWHERE, '--data-dir', dataDir, ...args]);
      await cli.until((lines) => lines.some((line) => line.includes('trying again')));
      const expected = Math.min(19, niceOf('/proc/self') + steps);
      assert.deepEqual([...new Set(niceOfThreads(cli.pid))], [expected]);
    });
  }
});
