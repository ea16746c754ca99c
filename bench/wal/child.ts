/** One way to make commits durable in a process of its own, `child.js NAME DIR`: a round of commits, every byte read back. */
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
import { serveRounds } from '../harness/forks.ts';
import type { CaseName, Figures, Order } from './setting.ts';

const FILE_BYTES = 64 << 20;
const US_PER_S = 1e6;
/** Of /proc/stat. */
const TICKS_PER_S = 100;

const [, , name, root] = process.argv as unknown as [string, string, CaseName, string];

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

const OPEN: Readonly<Record<CaseName, (dataDir: string) => Store>> = {
  'append + fdatasync': openAppend,
  'direct, blocking': (dataDir) => openWal(dataDir, openBlockingWriter),
  'direct, thread pool': (dataDir) => openWal(dataDir, openPoolWriter),
  'direct, aio': (dataDir) => openWal(dataDir, openAioWriter),
  'direct, io_uring': (dataDir) => openWal(dataDir, openUringWriter),
};

/** CPU seconds of the whole machine, kernel threads included: nobody is charged for their flushes. */
function machineCpuSeconds(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fs
    .readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

async function round({ bytes, commits }: Order): Promise<Figures> {
  const dataDir = fs.mkdtempSync(join(root, 'round-'));
  const store = OPEN[name](dataDir);
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

// A ring keeps no event loop alive by itself; the channel to the parent does.
serveRounds(round);
