/** Runs threads that charge clients in many orders of their operations; every admitted token must be in a bucket. */
import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../../src/happens-before/check-ordering.ts';
import type { Scenario } from '../../../src/happens-before/scenario.ts';
import { StepFailure } from '../../../src/learn/failure.ts';
import { ADMITTED } from '../../../src/limiter/limiter.ts';
import type * as Charges from './charges.ts';

const MODULE = fileURLToPath(new URL('./charges.js', import.meta.url));
const EXECUTIONS_MAX = 700;
const RANDOM_MAX = 200;
const THREAD_NAMES = ['thread A', 'thread B', 'thread C'];

export interface SetScenario {
  readonly ways: number;
  readonly idleClients: readonly number[];
  readonly idleMs?: number;
  /** The clients that each thread charges, in turn. */
  readonly threads: readonly (readonly number[])[];
}

function scenarioOf({ ways, idleClients, idleMs, threads }: SetScenario): Scenario<typeof Charges> {
  return {
    name: 'threads that charge clients of one set',
    prepare({ createSet, chargeClients, frozenSlots, missingTokens }) {
      const memory = createSet(ways, idleClients, idleMs);
      const whole = { name: 'the table', byte: 0, bytes: memory.byteLength };
      return {
        memories: [
          { memory, layout: [{ ...whole, unordered: 'BUCKET and VERSION decide, and are swapped' }] },
        ],
        threads: Object.fromEntries(
          threads.map((clients, index) => [THREAD_NAMES[index]!, () => chargeClients(memory, ways, clients)]),
        ),
        checkEnd(results) {
          const verdicts = Object.values(results).flat();
          const admitted = verdicts.filter((verdict) => verdict === ADMITTED).length;
          const buckets = missingTokens(memory, ways);
          const names = buckets.map(([client]) => client).filter((client) => client !== 0);
          const twice = names.find((client, index) => names.indexOf(client) !== index);
          if (twice !== undefined) throw new Error(`client ${twice} has two buckets, so twice its limit`);
          if (frozenSlots(memory, ways) > 0) throw new Error('a slot stays frozen, so no client can have it');
          const charged = buckets.reduce((sum, [, tokens]) => sum + tokens, 0);
          // More is harmless: a charge that meets a new owner of the slot is repeated for its own client.
          if (Math.round(charged) < admitted) {
            throw new Error(
              `${admitted} charges were admitted, and the tokens that the buckets lack are ${Math.round(charged)}`,
            );
          }
        },
      };
    },
  };
}

/** @throws StepFailure with the first finding */
export async function checkSet(scenario: SetScenario, did: string, so: string): Promise<void> {
  const { races, failures } = await checkOrdering({
    module: MODULE,
    scenario: scenarioOf(scenario),
    executionsMax: EXECUTIONS_MAX,
    randomMax: RANDOM_MAX,
  });
  const finding = failures[0] ?? races[0];
  if (finding === undefined) return;
  throw new StepFailure({
    did,
    expected: 'each client has one bucket, and every admitted charge is in it, in every order',
    got: finding.text.replace(/\s*\(\S+:\d+\)$/, '').replaceAll(/\s*\n\s*/g, '; '),
    so,
  });
}
