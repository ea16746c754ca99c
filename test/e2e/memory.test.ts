/** The memory plan holds: the server survives in 512 MiB under the worst mix of bodies, however many CPUs there are. */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { MIB } from '../../src/base/units.ts';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { MemoryGroup } from '../support/memory-group.ts';
import { post } from '../support/raw-http.ts';
import { type ServerProcess, StartFailed, startServer } from '../support/server-process.ts';

const LIMIT_BYTES = 512 * MIB;
const CLIENTS = 32;
const LOAD_MS = 6_000;
const RETRY_MS = 50;

type Mix = readonly { readonly bytes: Buffer; readonly gzip: boolean }[];

/** Makes the server see this many CPUs. */
function withCpus(count: number): Record<string, string> {
  const code = `import os from 'node:os';import{syncBuiltinESMExports as sync}from'node:module';os.availableParallelism=()=>${count};sync()`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}

function body(items: number, padBytes: number, key = 'pad'): Buffer {
  const metrics = Array.from({ length: items }, (_, k) => ({
    name: `m${k}`,
    value: k,
    tags: { [key]: 'x'.repeat(padBytes) },
  }));
  return Buffer.from(JSON.stringify({ metrics }));
}

/** Just below the default bounds of 8 MiB and 10,000 items, in the forms that take the most memory. */
function worstMix(): Mix {
  const large = body(9_990, 770);
  const escaped = Buffer.from(large.toString().replaceAll('"pad"', String.raw`"p\u0061d"`));
  const plain = [large, body(1, 8_300_000), body(9_990, 760, 'a\tb'), escaped, body(10_000, 10)];
  return [
    ...plain.filter(({ length }) => length <= 8 * MIB).map((bytes) => ({ bytes, gzip: false })),
    { bytes: gzipSync(large), gzip: true },
    { bytes: gzipSync(body(9_990, 765)), gzip: true },
  ];
}

/** Sends bodies from many connections until the time is over. @returns requests by status */
async function load(port: number, mix: Mix): Promise<Map<number, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const statuses = new Map<number, number>();
  const send = ({ bytes, gzip }: Mix[number]): Promise<void> =>
    new Promise((resolve) => {
      const headers = { 'Content-Type': 'application/json', ...(gzip && { 'Content-Encoding': 'gzip' }) };
      const sent = request({ port, path: '/metrics', method: 'POST', agent, headers }, (response) => {
        const status = response.statusCode ?? 0;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        response.resume().on('end', resolve);
      });
      // A refusal may close the connection while the body is on its way.
      sent.on('error', () => setTimeout(resolve, RETRY_MS));
      sent.end(bytes);
    });
  const endMs = performance.now() + LOAD_MS;
  const client = async (first: number): Promise<void> => {
    for (let k = first; performance.now() < endMs; k++) await send(mix[k % mix.length]!);
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, k) => client(k)));
  agent.destroy();
  return statuses;
}

const refusal = MemoryGroup.refusal();

async function startLimited(
  t: TestContext,
  cpus: number,
  args: readonly string[] = [],
): Promise<[ServerProcess, MemoryGroup]> {
  const group = MemoryGroup.create(LIMIT_BYTES);
  group.removeAfter(t);
  const server = await startServer(t, {
    wrapper: group.wrapper,
    env: withCpus(cpus),
    args: ['--rate-limit', '0', '--retention-bytes', '512m', ...args],
  });
  return [server, group];
}

describe('in 512 MiB the server', { skip: refusal }, () => {
  for (const [cpus, kind, mix] of [
    [2, 'all', worstMix()],
    [8, 'plain', worstMix().filter(({ gzip }) => !gzip)],
    [16, 'compressed', worstMix().filter(({ gzip }) => gzip)],
    [32, 'all', worstMix()],
  ] as const) {
    it(`survives the worst mix of ${kind} bodies with ${cpus} CPUs`, async (t) => {
      const [server, group] = await startLimited(t, cpus);
      let ended = false;
      void server.exited.then(() => {
        ended = true;
      });
      const statuses = await load(server.port, mix);
      assert.ok(!ended, `killed with ${server.listening.workers} workers`);
      assertAccepted(await post(server.port, namesBody(uniqueName('after'))), 1);
      assert.ok((statuses.get(200) ?? 0) > 0, JSON.stringify([...statuses]));
      t.diagnostic(
        `${server.listening.workers} workers, ${server.listening.memory}; peak ${Math.round(group.peakBytes / MIB)} MiB; ` +
          [...statuses].map(([status, count]) => `${status}: ${count}`).join(', '),
      );
    });
  }

  it('prints its plan, and starts fewer workers than CPUs', async (t) => {
    const [{ listening }] = await startLimited(t, 32);
    assert.match(String(listening.memory), /^at most \d+ MiB of 512 MiB \(control group\)$/);
    assert.ok(
      Number(listening.workers) >= 2 && Number(listening.workers) < 8,
      `${listening.workers} workers`,
    );
  });

  for (const [args, option] of [
    [['--workers', '16'], /lower --workers 16 or --max-body-bytes/],
    [['--phase', '1', '--request-threads', '32'], /lower --request-threads 32 or --max-body-bytes/],
    [['--max-body-bytes', '64m'], /lower --max-body-bytes \d+, or/],
    [
      ['--rate-limit', '1k', '--limiter-clients', '4194304'],
      /lower --max-body-bytes \d+ or --limiter-clients \d+, or/,
    ],
  ] as const) {
    it(`refuses ${args.join(' ')} with one line`, async (t) => {
      await assert.rejects(startLimited(t, 2, args), (error: unknown) => {
        assert.ok(error instanceof StartFailed);
        assert.equal(error.exit.code, 2);
        assert.match(error.output, /^metricsstream: the memory plan needs [^\n]*\n$/);
        assert.match(error.output, option);
        return true;
      });
    });
  }

  it('serves with more workers if their bodies are smaller', async (t) => {
    const [{ listening }] = await startLimited(t, 2, ['--workers', '4', '--max-body-bytes', '1m']);
    assert.equal(listening.workers, 4);
  });
});
