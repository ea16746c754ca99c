/**
 * Scenarios of the table of idempotency keys. The table has one set of two entries, so that threads meet at each of them.
 */
import type { Layout, Prepared, Scenario } from '../../../src/happens-before/scenario.ts';
import { CLAIMED, IN_FLIGHT_ELSEWHERE, NO_ENTRY, REPLAY } from '../../../src/idempotency/codes.ts';
import { type Algorithm, swap } from '../algorithm.ts';

const FILE = 'idempotency/table.js';

interface KeyTableModule {
  createKeyTable(config: { readonly keys: number; readonly windowMs: number }): SharedArrayBuffer;
  readonly KeyTable: new (
    memory: SharedArrayBuffer,
  ) => {
    readonly entry: number;
    claim(hash: Int32Array, crc: number, unixMs: number): number;
    settle(entry: number, isStored: boolean): void;
  };
}

const ENTRIES = 2;
const NOW_MS = 1_800_000_000_000;
const WINDOW_MS = 60_000;
const LINE_BYTES = 64;

const layout: Layout = [
  { name: 'header', byte: 0, bytes: LINE_BYTES },
  { name: 'LOCK', byte: LINE_BYTES, bytes: 4 },
  { name: 'WORD', byte: LINE_BYTES + 4, bytes: 4 * ENTRIES },
  { name: 'HASH', byte: LINE_BYTES + 4 + 4 * ENTRIES, bytes: 16 * ENTRIES },
  { name: 'CRC', byte: LINE_BYTES + 4 + 20 * ENTRIES, bytes: 4 * ENTRIES },
];

const hashOf = (key: number): Int32Array => Int32Array.of(0, key, key, key);

interface Request {
  readonly key: number;
  readonly crc: number;
  readonly isStored: boolean;
  /** Seconds after the first requests. */
  readonly atS?: number;
}

interface Sent {
  readonly codes: readonly number[];
  readonly stored: readonly number[];
}

/** Claims the keys of all requests, then settles them in order. */
function send(table: InstanceType<KeyTableModule['KeyTable']>, requests: readonly Request[]): Sent {
  const claimed: { readonly entry: number; readonly request: Request }[] = [];
  const codes = requests.map((request) => {
    const { key, crc, atS = 0 } = request;
    const code = table.claim(hashOf(key), crc, NOW_MS + 1_000 * atS);
    if (code === CLAIMED) claimed.push({ entry: table.entry, request });
    return code;
  });
  for (const { entry, request } of claimed) table.settle(entry, request.isStored);
  return {
    codes,
    stored: claimed.filter(({ request }) => request.isStored).map(({ request }) => request.key),
  };
}

/** Each thread sends its groups of requests one after the other; `checkEnd` gets what came of all of them. */
function sending(
  { createKeyTable, KeyTable }: KeyTableModule,
  groups: Readonly<Record<string, readonly (readonly Request[])[]>>,
  checkEnd: (sent: Sent, codeOf: (key: number, crc: number, atS: number) => number) => void,
): Prepared {
  const memory = createKeyTable({ keys: ENTRIES, windowMs: WINDOW_MS });
  const threads = Object.entries(groups).map(([name, all]) => {
    const body = () => {
      const table = new KeyTable(memory);
      return all.map((group) => send(table, group));
    };
    return [name, body] as const;
  });
  return {
    memories: [{ memory, layout }],
    threads: Object.fromEntries(threads),
    checkEnd: (results) => {
      const sent = (Object.values(results) as Sent[][]).flat();
      const table = new KeyTable(memory);
      checkEnd(
        { codes: sent.flatMap(({ codes }) => codes), stored: sent.flatMap(({ stored }) => stored) },
        (key, crc, atS) => table.claim(hashOf(key), crc, NOW_MS + 1_000 * atS),
      );
    },
  };
}

function must(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence);
}

/** Two threads get the same request at once, and again: the key is stored once, whoever is first. */
const onceScenario: Scenario<KeyTableModule> = {
  name: 'two threads repeat one request',
  prepare: (module) => {
    const request = { key: 1, crc: 7, isStored: true };
    return sending(module, { first: [[request], [request]], second: [[request]] }, ({ stored }, codeOf) => {
      must(stored.length === 1, `one key was stored ${stored.length} times`);
      must(codeOf(1, 7, 0) === REPLAY, 'the key is not remembered');
    });
  },
};

/** A refused request frees its key, for whatever body comes next. */
const refusedScenario: Scenario<KeyTableModule> = {
  name: 'a request is refused while another uses its key',
  prepare: (module) => {
    const other = { key: 1, crc: 8, isStored: true };
    const groups = { refused: [[{ key: 1, crc: 7, isStored: false }]], other: [[other], [other]] };
    return sending(module, groups, ({ stored }, codeOf) => {
      must(stored.length <= 1, 'one key was stored twice');
      must(codeOf(1, 8, 0) === (stored.length === 1 ? REPLAY : CLAIMED), 'the key is not what became of it');
    });
  },
};

/** Two keys in flight hold both entries: a third gets none until they are settled, and then one that is stored. */
const fullScenario: Scenario<KeyTableModule> = {
  name: 'three keys want two entries',
  prepare: (module) => {
    const early = { key: 1, crc: 1, isStored: true };
    const late = { key: 2, crc: 2, isStored: true, atS: 1 };
    const groups = { holder: [[early, late]], other: [[{ key: 3, crc: 3, isStored: true, atS: 2 }]] };
    return sending(module, groups, ({ codes, stored }, codeOf) => {
      const refused = codes.filter((code) => code === NO_ENTRY).length;
      must(refused + stored.length === 3, `${stored.length} keys were stored and ${refused} refused`);
      for (const key of [1, 2, 3])
        must(codeOf(key, key, 2) !== IN_FLIGHT_ELSEWHERE, `key ${key} is in flight for ever`);
    });
  },
};

export const keyTable: Algorithm<KeyTableModule> = {
  name: 'table of idempotency keys',
  modules: [FILE],
  breaks: [FILE],
  // The lock spins before it sleeps: with many spins there are far too many orders.
  constants: { SPINS: 0 },
  scenarios: [onceScenario, refusedScenario, fullScenario],
  variants: [
    swap('no lock', FILE, 'if (!lock(this.i32, set, LOCK_BOUND_MS))\n            return NO_ENTRY;', ''),
    swap(
      'unlock before the search',
      FILE,
      'const code = this.claimLocked(',
      'unlock(this.i32, set); const code = this.claimLocked(',
    ),
    swap(
      'take entries in flight',
      FILE,
      'else if (state === STORED && since < oldestSeconds)',
      'else if (since < oldestSeconds)',
    ),
    swap('a refused request counts as stored', FILE, 'isStored ? since | STORED : FREE', 'since | STORED'),
  ],
};
