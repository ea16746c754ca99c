/** The copier of the write-ahead log, turned by hand: when it makes a commit of what the lanes hold. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { before, it } from 'node:test';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { createWalFile } from '../../src/wal/wal-file.ts';
import { writeWalSettings } from '../../src/writer/write-ahead/wal-settings.ts';
import { createMemory, createWriter, openJournal } from '../../src/writer/write-ahead/write-ahead.ts';
import { line, type TestedWriter, WriterRig } from '../support/writer-rig.ts';

const GENERATION = 7;
const FILE_BYTES = 64 << 20;
const MIB = 1 << 20;

const writeAhead: TestedWriter = {
  name: 'write-ahead',
  createMemory: (lanes, journalBytes) => {
    const memory = createMemory(lanes, journalBytes);
    writeWalSettings(memory.common, { backend: 'blocking', generation: GENERATION, fileBytes: FILE_BYTES });
    return memory;
  },
  openJournal: (parts, lane) => openJournal({ ...parts, lane }),
  createWriter: (parts) => {
    const header = { lane: 0, generation: GENERATION, checkpoint: 0, start: 0 };
    createWalFile(nodeFileOps, parts.config.dataDir, FILE_BYTES, header);
    return createWriter(parts);
  },
};

/** Lines of about a MiB. */
function mebibyteOf(first: number): string {
  let text = '';
  for (let id = first; text.length < MIB; id++) text += line(id, 1_000);
  return text;
}

before(() => fs.mkdirSync('.artifacts', { recursive: true }));

it('gathers for a while, but goes on at once while the lanes hold a whole commit', async () => {
  // Not the system's temporary folder: it may be a tmpfs, which has no direct I/O.
  const dataDir = fs.mkdtempSync(join(process.cwd(), '.artifacts', 'wal-'));
  const rig = new WriterRig({ tested: writeAhead, dataDir, journalBytes: 32 * MIB });
  const sent = Array.from({ length: 10 }, (_, k) => mebibyteOf(1 + 10_000 * k));
  for (const text of sent) rig.put(text);
  // Of ten MiB, two commits of at least four are due at once.
  assert.equal(rig.turn(), true);
  assert.equal(rig.turn(0), true);
  assert.equal(rig.turn(0), false, 'the rest gathers');
  assert.equal(rig.turn(1_000), true);
  assert.equal(rig.turn(1_000), false);
  assert.equal(rig.storedText(), sent.join(''));
  await rig.stop();
  rig.remove();
});
