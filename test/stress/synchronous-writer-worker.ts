/** Serves requests one after another through a journal of the synchronous writer, like a serving thread. */
import { parentPort } from 'node:worker_threads';
import { Bell } from '../../src/base/bell.ts';
import { Control } from '../../src/base/control.ts';
import { Breaker } from '../../src/breaker/breaker.ts';
import { FULL, STORED } from '../../src/journal/journal.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';
import { Histograms, WRITER_HISTOGRAM_NAMES } from '../../src/telemetry/histogram.ts';
import { openJournal } from '../../src/writer/synchronous/synchronous.ts';
import type { WriterThreadData } from '../../src/writer/writer.ts';
import { awaitStart } from '../support/threads.ts';
import { line } from '../support/writer-rig.ts';

export interface Serving {
  readonly data: WriterThreadData;
  readonly lane: number;
  /** Number of the first line. */
  readonly firstId: number;
  readonly requests: number;
  /** Requests published together. */
  readonly perPublish: number;
}

export interface Served {
  readonly lines: number;
  readonly requests: number;
  /** Requests that were not stored. */
  readonly notStored: number;
}

function serve({ data, lane, firstId, requests, perPublish }: Serving): Served {
  const journal = openJournal({
    memory: data.memory,
    lane,
    config: data.config,
    bell: new Bell(data.bell),
    control: new Control(data.control),
    breaker: new Breaker(data.breaker),
    counters: new Float64Array(data.counters),
    histograms: new Histograms(data.histograms, WRITER_HISTOGRAM_NAMES),
    ops: nodeFileOps,
  });
  let id = firstId;
  let notStored = 0;
  for (let request = 0; request < requests; request += perPublish) {
    const cursors: number[] = [];
    for (let k = 0; k < perPublish; k++) {
      const count = 1 + (id % 5);
      const bytes = Buffer.from(Array.from({ length: count }, () => line(id++, id % 90)).join(''));
      const offset = journal.claim(bytes.length + 100);
      if (offset === FULL) throw new Error('the journal is full');
      journal.bytes.set(bytes, offset);
      cursors.push(journal.commit(offset + bytes.length, count));
    }
    if (journal.publish()) new Bell(data.bell).ring();
    for (const cursor of cursors) {
      if (((journal.storedCursor() - cursor) | 0) < 0 || journal.outcome(cursor) !== STORED) notStored++;
    }
  }
  return { lines: id - firstId, requests, notStored };
}

parentPort!.postMessage(serve(awaitStart<Serving>()));
