/** Reading a stream of a real nats-server without a consumer. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { storedMessages } from '../../src/nats/stored-messages.ts';
import { startNats, withJetStream } from '../support/nats-server.ts';
import { requireTool } from '../support/tools.ts';

describe('the messages of a stream', { skip: requireTool('nats-server') }, () => {
  it('are read within bounds, with one request for each and none for a deleted one', async (t) => {
    const { url } = await startNats(t);
    await withJetStream(url, async (jsm) => {
      await jsm.streams.add({ name: 'S', subjects: ['s.*'] });
      const read = async (from: number, to: number): Promise<number[]> => {
        const found: number[] = [];
        for await (const { seq } of storedMessages(jsm, 'S', from, to)) found.push(seq);
        return found;
      };
      assert.deepEqual(await read(0, 0), []);
      for (let k = 1; k <= 12; k++) await jsm.jetstream().publish(`s.${k}`, String(k));
      for (const seq of [1, 4, 5, 6, 7, 8, 12]) await jsm.streams.deleteMessage('S', seq);
      const requests = t.mock.method(jsm.streams, 'getMessage');
      assert.deepEqual(await read(1, 12), [2, 3, 9, 10, 11]);
      assert.equal(requests.mock.callCount(), 6);
      assert.deepEqual(await read(3, 10), [3, 9, 10]);
      assert.deepEqual(await read(4, 8), []);
    });
  });
});
