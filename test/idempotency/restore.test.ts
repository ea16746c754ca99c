/** Keys read back from segments, one of which cannot be read or is deleted meanwhile. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FaultFileOps, systemError } from '../../load-test/faults/fault-file-ops.ts';
import { STAMP_BYTES, writeStamp } from '../../src/encoder/request-stamp.ts';
import { REPLAY } from '../../src/idempotency/codes.ts';
import { restoreKeys } from '../../src/idempotency/restore.ts';
import { openSecret } from '../../src/idempotency/secret.ts';
import { createKeyTable, KeyTable } from '../../src/idempotency/table.ts';
import { type FileStatus, nodeFileOps } from '../../src/storage/file-ops.ts';
import { segmentName } from '../../src/storage/segment-name.ts';
import { createCounterBlock, WRITER_SLOTS } from '../../src/telemetry/counters.ts';
import { line, temporaryDirectory, WriterRig } from '../support/writer-rig.ts';

const WINDOW_MS = 600_000;
const SEGMENTS = 3;

const hashOf = (id: number): Int32Array => Int32Array.of(id, id, id, id);

/** A line with the stamp of key `id`. */
function stamped(id: number): string {
  const text = line(id);
  const bytes = Buffer.alloc(text.length + STAMP_BYTES);
  bytes.write(text, 'latin1');
  return bytes.toString('latin1', 0, writeStamp(bytes, text.length, hashOf(id), 0, Date.now()));
}

describe('keys in segments', () => {
  let dataDir = '';

  /** Each run of a writer begins a segment. */
  before(async () => {
    dataDir = temporaryDirectory();
    openSecret(nodeFileOps, dataDir);
    for (let id = 1; id <= SEGMENTS; id++) {
      const rig = new WriterRig({ dataDir });
      rig.store(stamped(id));
      await rig.stop();
    }
    for (let id = 1; id <= SEGMENTS; id++) assert.ok(fs.existsSync(join(dataDir, segmentName(id))));
  });
  after(() => fs.rmSync(dataDir, { recursive: true }));

  function restore(ops: FaultFileOps) {
    const memory = createKeyTable({ keys: 64, windowMs: WINDOW_MS });
    const counters = createCounterBlock(WRITER_SLOTS);
    const config = { dataDir, idempotencyWindowMs: WINDOW_MS, idempotencyKeys: 64 };
    const report = restoreKeys(ops, memory, counters, config);
    const table = new KeyTable(memory);
    const ids = Array.from({ length: SEGMENTS }, (_, k) => k + 1);
    const remembered = ids.filter((id) => table.claim(hashOf(id), 0, Date.now()) === REPLAY);
    return { ...report, remembered };
  }

  it('are remembered', () => {
    const { keys, segments, unread, remembered } = restore(new FaultFileOps());
    assert.deepEqual(
      { keys, segments, unread, remembered },
      { keys: 3, segments: 3, unread: [], remembered: [1, 2, 3] },
    );
  });

  it('are forgotten with a segment that cannot be read, which is reported', () => {
    const ops = new FaultFileOps();
    let opened = '';
    const { open } = ops;
    ops.open = (path, flags, mode) => {
      opened = path;
      return open.call(ops, path, flags, mode);
    };
    ops.fault = (call) => (call === 'read' && opened.endsWith(segmentName(2)) ? { error: 'EIO' } : undefined);
    const { keys, segments, unread, remembered } = restore(ops);
    assert.deepEqual(unread, [`${segmentName(2)}: input/output error (EIO)`]);
    assert.deepEqual({ keys, segments, remembered }, { keys: 2, segments: 2, remembered: [1, 3] });
  });

  it('are forgotten with a segment whose status cannot be read, which is reported', () => {
    const ops = new FaultFileOps();
    ops.stat = (path) => {
      if (path.endsWith(segmentName(2))) throw systemError('EIO', 'stat');
      return nodeFileOps.stat(path);
    };
    const { unread, remembered } = restore(ops);
    assert.deepEqual(unread, [`${segmentName(2)}: input/output error (EIO)`]);
    assert.deepEqual(remembered, [1, 3]);
  });

  it('are forgotten with a segment that is deleted after it was listed', () => {
    class Deleting extends FaultFileOps {
      private stats = 0;

      override stat(path: string): FileStatus {
        // Listed at the first call.
        if (path.endsWith(segmentName(2)) && ++this.stats === 2) fs.unlinkSync(path);
        return super.stat(path);
      }
    }
    const { keys, unread, remembered } = restore(new Deleting());
    assert.deepEqual(unread, [`${segmentName(2)}: no such file or directory (ENOENT)`]);
    assert.deepEqual({ keys, remembered }, { keys: 2, remembered: [1, 3] });
  });
});
