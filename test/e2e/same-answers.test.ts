/** Every phase answers the same valid and broken requests alike, byte for byte, and stores the same lines. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PHASES } from '../../src/phases.ts';
import { mutate, randomDocument, randomFrom, randomLines, testSeed } from '../parser/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { phaseArgs, testedPhases } from '../support/each-phase.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';

const BODIES = 30;
const MAX_BATCH = 8;
const LAST = PHASES.at(-1)!;

const seed = testSeed();

interface Sent {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

function requests(): Sent[] {
  const random = randomFrom(seed);
  return Array.from({ length: BODIES }, (_, k) => {
    const lines = k % 4 === 3;
    const sound = lines ? randomLines(random) : randomDocument(random);
    const body = k % 3 === 2 ? mutate(sound, random) : sound;
    const headers: Record<string, string> = {};
    if (lines) headers['Content-Type'] = 'application/x-ndjson';
    if (k % 5 === 4) headers.Prefer = 'handling=strict';
    if (k % 7 !== 6) return { body, headers };
    return { body: gzipSync(body), headers: { ...headers, 'Content-Encoding': 'gzip' } };
  });
}

interface Outcome {
  readonly answers: readonly string[];
  readonly stored: readonly string[];
  /** The server's log: it has the reason of a refusal that only some phase gave. */
  readonly log: string;
}

/** Sends all requests one after the other over one connection. */
async function outcomeOf(owner: Owner, args: readonly string[]): Promise<Outcome> {
  const startedMs = Date.now();
  const server = await startServer(owner, {
    args: [...args, '--rate-limit', '0', '--max-batch', String(MAX_BATCH)],
  });
  const answers: string[] = [];
  let connection = await RawConnection.open(server.port);
  for (const { body, headers } of requests()) {
    const response = await connection.request(postRequest(body, { headers }));
    const type = response.header('content-type');
    answers.push(`${response.status} ${type} ${response.body.toString('latin1')}`);
    if (response.header('connection') === 'close') {
      connection.close();
      connection = await RawConnection.open(server.port);
    }
  }
  connection.close();
  await server.stop();
  // The time of receipt differs; times that clients gave do not.
  const receivedNow = (timestamp: number) => timestamp >= startedMs - 1 && timestamp <= Date.now() + 1;
  const stored = readStored(server.dataDir).map(({ timestamp, ...rest }) =>
    JSON.stringify({ ...rest, timestamp: receivedNow(timestamp) ? 'receipt' : timestamp }),
  );
  return { answers, stored, log: server.output() };
}

describe(`the same ${BODIES} requests (TEST_SEED=${seed})`, () => {
  let expected: Outcome = { answers: [], stored: [], log: '' };
  before(async () => {
    expected = await outcomeOf({ after }, phaseArgs(LAST));
  });

  it('are partly stored and partly refused', () => {
    const statuses = expected.answers.map((answer) => answer.slice(0, 3));
    for (const status of ['200', '400']) assert.ok(statuses.includes(status), statuses.join(' '));
    assert.ok(expected.stored.length > 0);
  });

  const others = [
    ...testedPhases()
      .slice(0, -1)
      .map((phase) => [`phase ${phase.number}, ${phase.name}`, phaseArgs(phase)] as const),
    ...(['writer', 'parser', 'limiter', 'telemetry'] as const).map(
      (slot) =>
        [`phase ${LAST.number} with its ${slot} reverted`, [...phaseArgs(LAST), '--revert', slot]] as const,
    ),
  ];
  for (const [what, args] of others) {
    it(`are answered and stored alike by ${what}`, async (t) => {
      const { answers, stored, log } = await outcomeOf(t, args);
      answers.forEach((answer, k) => {
        assert.equal(answer, expected.answers[k], `request ${k}\n${log}`);
      });
      assert.deepEqual(stored, expected.stored);
    });
  }
});
