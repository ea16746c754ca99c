import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STORED } from '../../src/writer/journal-ring.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

test('stores what several rings publish as one sealed commit a turn', async () => {
  const rig = new WriterRig({ rings: 2 });
  const first = rig.put(line(1) + line(2), 0);
  const second = rig.put(line(3), 1);
  assert.equal(rig.outcome(first, 0), null);
  assert.equal(rig.turn(), true);
  assert.equal(rig.outcome(first, 0), STORED);
  assert.equal(rig.outcome(second, 1), STORED);
  assert.equal(rig.turn(), false);
  await rig.stop();
  assert.deepEqual(rig.segments(), ['metrics-00000001.ndjson']);
  assert.equal(rig.storedText(), line(1) + line(2) + line(3));
  assert.equal(rig.count('commits'), 1);
  rig.remove();
});
