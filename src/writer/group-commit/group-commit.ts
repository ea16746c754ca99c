/**
 * Group commit: the writer thread drains all journal rings into commits of one log.
 *
 * A worker's stored cursor never passes a line that is not stored to the level of `ack`, unless an outcome says so.
 */
import { createJournalRing, isReleased, JournalProducer } from '../../journal/ring.ts';
import { GroupedWriter } from '../grouped-writer.ts';
import type { WriterModule } from '../writer.ts';
import { JournalSource } from './journal-source.ts';

export const createMemory = ((lanes, journalBytes) => ({
  journals: Array.from({ length: lanes }, () => createJournalRing(journalBytes)),
  common: new SharedArrayBuffer(0),
})) satisfies WriterModule['createMemory'];

export const openJournal = (({ memory, lane }) =>
  new JournalProducer(memory.journals[lane]!)) satisfies WriterModule['openJournal'];

export const isSettled = ((memory, lane) =>
  isReleased(memory.journals[lane]!)) satisfies WriterModule['isSettled'];

export const createWriter = ((parts) =>
  new GroupedWriter(parts, new JournalSource(parts))) satisfies WriterModule['createWriter'];
