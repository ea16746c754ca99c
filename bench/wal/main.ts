/**
 * From commit to durable: appending with fdatasync, as group commit does, against the back-ends of the write-ahead log.
 *
 *     npm run bench -- --only=wal
 *     node dist/bench/wal/main.js --dir /mnt/loop      # on another file system
 *
 * Each commit waits for the one before. Rounds of all cases take turns in one process; every byte is read back.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import type { OpenBlockWriter } from '../../src/wal/block-writer.ts';
import { openBlockingWriter } from '../../src/wal/blocking-writer.ts';
import { openAioWriter, openUringWriter } from '../../src/wal/kernel-writer.ts';
import { createLaneMemory, viewsOf } from '../../src/wal/lane-memory.ts';
import { openPoolWriter } from '../../src/wal/pool-writer.ts';
import { BLOCK_BYTES } from '../../src/wal/record.ts';
import { createWalFile, walPath } from '../../src/wal/wal-file.ts';
import { options, roundsOr, smokeRun } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { printTable } from '../report/table.ts';
import { medianOf, rangeOf } from '../statistics.ts';

const KIB = 1_024;
const SIZES = [4 * KIB, 64 * KIB, 1024 * KIB];
const FILE_BYTES = 64 << 20;
/** Bytes of one round, so that rounds of all sizes take about as long. */
const ROUND_BYTES = smokeRun ? 256 * KIB : 8 << 20;
const COMMITS_MAX = smokeRun ? 8 : 400;
const ROUNDS = smokeRun ? 1 : roundsOr(7);
const US_PER_S = 1e6;
/** Of /proc/stat. */
const TICKS_PER_S = 100;

const root = options.dir ?? '.artifacts/bench-wal';

interface Store {
  /** Stores `bytes` filled with `mark` at `offset` of the file; resolves when they are durable. */
  commit(bytes: number, offset: number, mark: number): Promise<void>;
  readonly path: string;
  close(): void;
}

const { bytes: memory } = viewsOf(createLaneMemory(4 << 20));

function openAppend(dataDir: string): Store {
  const path = join(dataDir, 'append');
  const fd = fs.openSync(path, 'w+');
  return {
    path,
    commit: async (bytes, offset, mark) => {
      memory.fill(mark, 0, bytes);
      fs.writeSync(fd, memory, 0, bytes, offset);
      fs.fdatasyncSync(fd);
    },
    close: () => fs.closeSync(fd),
  };
}

function openWal(dataDir: string, open: OpenBlockWriter): Store {
  createWalFile(nodeFileOps, dataDir, FILE_BYTES, { lane: 0, generation: 1, checkpoint: 0, start: 0 });
  const path = walPath(dataDir, 0);
  let wake: (result: number) => void = () => {};
  const writer = open(path, memory, (_, result) => wake(result));
  return {
    path,
    commit: async (bytes, offset, mark) => {
      memory.fill(mark, 0, bytes);
      const done = new Promise<number>((resolve) => {
        wake = resolve;
      });
      assert.equal(writer.write(0, bytes, offset, 0), 0);
      assert.equal(await done, bytes);
    },
    close: () => writer.close(),
  };
}

const CASES: readonly (readonly [string, (dataDir: string) => Store])[] = [
  ['append + fdatasync', openAppend],
  ['direct, blocking', (dataDir) => openWal(dataDir, openBlockingWriter)],
  ['direct, thread pool', (dataDir) => openWal(dataDir, openPoolWriter)],
  ['direct, aio', (dataDir) => openWal(dataDir, openAioWriter)],
  ['direct, io_uring', (dataDir) => openWal(dataDir, openUringWriter)],
];

/** CPU seconds of the whole machine, kernel threads included: nobody is charged for their flushes. */
function machineCpuSeconds(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fs
    .readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

interface Figures {
  readonly us: number;
  readonly cpuUs: number;
  readonly machineCpuUs: number;
}

async function round(open: (dataDir: string) => Store, bytes: number): Promise<Figures> {
  const dataDir = fs.mkdtempSync(join(root, 'round-'));
  const store = open(dataDir);
  const commits = Math.max(4, Math.min(COMMITS_MAX, Math.floor(ROUND_BYTES / bytes)));
  const offsetOf = (k: number): number => BLOCK_BYTES + k * bytes;
  const cpu = process.cpuUsage();
  const machineCpu = machineCpuSeconds();
  const startMs = performance.now();
  for (let k = 0; k < commits; k++) await store.commit(bytes, offsetOf(k), k & 0xff);
  const us = ((performance.now() - startMs) * 1e3) / commits;
  const { user, system } = process.cpuUsage(cpu);
  const machineCpuUs = ((machineCpuSeconds() - machineCpu) * US_PER_S) / commits;
  const file = fs.readFileSync(store.path);
  for (let k = 0; k < commits; k++) {
    const part = file.subarray(offsetOf(k), offsetOf(k) + bytes);
    assert.ok(part.equals(Buffer.alloc(bytes, k & 0xff)), `commit ${k} of ${store.path}`);
  }
  store.close();
  fs.rmSync(dataDir, { recursive: true });
  return { us, cpuUs: (user + system) / commits, machineCpuUs };
}

fs.mkdirSync(root, { recursive: true });
// A ring keeps no event loop alive by itself.
const alive = setInterval(() => {}, 1_000);
for (const bytes of SIZES) {
  const figures = await takeTurns(CASES, ROUNDS, ([, open]) => round(open, bytes), smokeRun ? 0 : 1);
  const title = `write-ahead log, commits of ${bytes / KIB} KiB`;
  if (smokeRun) {
    console.log(`${title}: verified`);
    continue;
  }
  const base = figures.get(CASES[0]!)!;
  const text = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
  console.log(`${title} (${ROUNDS} rounds, ${root}; ${machine()})`);
  printTable({
    head: ['', 'µs a commit', 'ratio', 'CPU µs, process', 'CPU µs, machine'],
    rows: [...figures].map(([[name], rounds]) => [
      name,
      withRange(rangeOf(rounds.map(({ us }) => us)), text),
      withRange(rangeOf(rounds.map(({ us }, k) => us / base[k]!.us)), text),
      text(medianOf(rounds.map(({ cpuUs }) => cpuUs))),
      text(medianOf(rounds.map(({ machineCpuUs }) => machineCpuUs))),
    ]),
  });
}
clearInterval(alive);
