/** A log as a server would leave it, made without one: the benchmark of its export needs gigabytes quickly. */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { writeLogRecord } from '../../src/storage/log-record.ts';
import { LINE_END_BYTES, SEAL_MAX_BYTES, writeSealHead, writeSealTail } from '../../src/storage/seal.ts';
import { segmentName } from '../../src/storage/segment-name.ts';

const SEGMENT_BYTES = 256 << 20;
const HOSTS = 100;
const NAMES = ['cpu.usage', 'memory.used', 'disk.read', 'http.requests', 'queue.depth'] as const;

export interface LogShape {
  readonly lines: number;
  readonly linesPerCommit: number;
  /** Unix ms of the first line; each commit is a millisecond later. */
  readonly startMs: number;
}

/** Lines of 500 series with two tags, as the encoder writes them. */
function linesOf(commit: number, { linesPerCommit, startMs }: LogShape): string {
  let text = '';
  for (let k = 0; k < linesPerCommit; k++) {
    const n = commit * linesPerCommit + k;
    const host = Math.floor(n / NAMES.length) % HOSTS;
    const value = ((n * 2_654_435_761) % 1_000_000) / 100;
    text +=
      `{"timestamp":${startMs + commit},"name":"${NAMES[n % NAMES.length]}","value":${value},"type":"gauge",` +
      `"tags":{"host":"web-${host}","region":"eu-central-1"}}\n`;
  }
  return text;
}

function sealed(text: string, commit: number, lines: number): Buffer {
  const data = Buffer.from(text);
  const bytes = data.length - LINE_END_BYTES;
  const seal = Buffer.alloc(SEAL_MAX_BYTES);
  const head = writeSealHead(seal, commit, bytes, lines, '');
  const crc = zlib.crc32(seal.subarray(0, head), zlib.crc32(data.subarray(0, bytes)));
  return Buffer.concat([data.subarray(0, bytes), seal.subarray(0, writeSealTail(seal, head, crc))]);
}

/** Writes segments and the log record. */
export function writeLog(dataDir: string, shape: LogShape): void {
  const commits = Math.ceil(shape.lines / shape.linesPerCommit);
  let segment = 0;
  let fd = -1;
  let bytes = SEGMENT_BYTES;
  for (let commit = 1; commit <= commits; commit++) {
    if (bytes >= SEGMENT_BYTES) {
      if (fd >= 0) fs.closeSync(fd);
      fd = fs.openSync(join(dataDir, segmentName(++segment)), 'w');
      bytes = 0;
    }
    bytes += fs.writeSync(fd, sealed(linesOf(commit, shape), commit, shape.linesPerCommit));
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  const numbers = { segment, startSegment: 0, commit: commits, reserved: commits, deletedCommit: 0 };
  const record = { id: randomUUID(), createdAt: new Date().toISOString(), ...numbers, clean: true };
  writeLogRecord(nodeFileOps, dataDir, record);
}
