/**
 * Rows as PostgreSQL's binary COPY format: a header, rows of a column count and length-prefixed columns, a trailer.
 * https://www.postgresql.org/docs/current/sql-copy.html
 *
 * Rows go into large buffers, because each buffer costs a message.
 */
import type { Rows } from './rows.ts';

const CHUNK_BYTES = 256 << 10;
/** Signature, no flags, no extension. */
const HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);
const INT_BYTES = 4;
const LONG_BYTES = 8;
/** Column count, then three columns of eight bytes with their lengths. */
const SERIES_ROW_BYTES = 2 + 3 * (4 + LONG_BYTES);
/** Column count, time and value; three encoded columns follow. */
const FLAT_HEAD_BYTES = 2 + 2 * (4 + LONG_BYTES);
/** PostgreSQL counts from 2000-01-01, in microseconds. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
const US_PER_MS = 1_000;
const WORD = 2 ** 32;
/** So many milliseconds, times 1,000, are still exact as a double: until the year 2285. */
const EXACT_MS = Math.floor(Number.MAX_SAFE_INTEGER / US_PER_MS);

/** Writes a signed integer of 64 bits, which may be larger than doubles count exactly. */
function putMicroseconds(view: DataView, at: number, timeMs: number): void {
  const ms = timeMs - EPOCH_MS;
  if (Math.abs(ms) < EXACT_MS) {
    const us = ms * US_PER_MS;
    const high = Math.floor(us / WORD);
    view.setInt32(at, high);
    view.setUint32(at + 4, us - high * WORD);
  } else {
    view.setBigInt64(at, BigInt(ms) * BigInt(US_PER_MS));
  }
}

/** Yields the whole COPY stream of rows `time, series_id, value`. */
export function* seriesChunks({ count, times, series, values }: Rows): Generator<Buffer, void> {
  const rowsPerChunk = Math.floor(CHUNK_BYTES / SERIES_ROW_BYTES);
  yield HEADER;
  for (let from = 0; from < count; from += rowsPerChunk) {
    const to = Math.min(count, from + rowsPerChunk);
    const chunk = Buffer.allocUnsafeSlow((to - from) * SERIES_ROW_BYTES);
    const view = new DataView(chunk.buffer);
    for (let row = from, at = 0; row < to; row++, at += SERIES_ROW_BYTES) {
      view.setInt16(at, 3);
      view.setInt32(at + 2, LONG_BYTES);
      putMicroseconds(view, at + 6, times[row]!);
      view.setInt32(at + 14, LONG_BYTES);
      const id = series[row]!;
      const high = Math.floor(id / WORD);
      view.setInt32(at + 18, high);
      view.setUint32(at + 22, id - high * WORD);
      view.setInt32(at + 26, LONG_BYTES);
      view.setFloat64(at + 30, values[row]!);
    }
    yield chunk;
  }
  yield TRAILER;
}

/** Yields the whole COPY stream of rows `time, value, name, type, tags`. */
export function* flatChunks({ count, times, values, payloads }: Rows): Generator<Buffer, void> {
  yield HEADER;
  for (let row = 0; row < count; ) {
    const first = row;
    let bytes = 0;
    for (; row < count && bytes < CHUNK_BYTES; row++) bytes += FLAT_HEAD_BYTES + payloads[row]!.length;
    const chunk = Buffer.allocUnsafeSlow(bytes);
    const view = new DataView(chunk.buffer);
    let at = 0;
    for (let k = first; k < row; k++) {
      const payload = payloads[k]!;
      view.setInt16(at, 5);
      view.setInt32(at + 2, LONG_BYTES);
      putMicroseconds(view, at + 6, times[k]!);
      view.setInt32(at + 14, LONG_BYTES);
      view.setFloat64(at + 18, values[k]!);
      chunk.set(payload, at + FLAT_HEAD_BYTES);
      at += FLAT_HEAD_BYTES + payload.length;
    }
    yield chunk;
  }
  yield TRAILER;
}

/** The columns `name, type, tags` of a series. Binary jsonb is a version byte and the text. */
export function flatPayload(name: string, type: string, tags: Readonly<Record<string, string>>): Buffer {
  const columns = [name, type, `\u0001${JSON.stringify(tags)}`];
  const lengths = columns.map((column) => Buffer.byteLength(column));
  // Thousands of these are kept: copies of the columns beside them would pin twice the memory.
  const payload = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + INT_BYTES + length, 0));
  let at = 0;
  for (const [k, column] of columns.entries()) {
    at = payload.writeInt32BE(lengths[k]!, at);
    at += payload.write(column, at);
  }
  return payload;
}
