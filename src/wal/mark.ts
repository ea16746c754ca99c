/**
 * The mark in a segment's seals: which records of the write-ahead log the segments hold up to that commit.
 *
 * ```
 *  2f9a3c41b07e:1042,977        generation (hexadecimal), then the last sequence of lane 0, of lane 1, …
 * ```
 */
import type { Generation } from './record.ts';

export interface Mark {
  readonly generation: Generation;
  readonly sequences: readonly number[];
}

export function formatMark(generation: Generation, sequences: readonly number[]): string {
  return `${generation.toString(16)}:${sequences.join(',')}`;
}

/** Null when `text` is not a mark. */
export function parseMark(text: string): Mark | null {
  const match = /^([0-9a-f]{1,14}):(\d{1,16}(?:,\d{1,16})*)$/.exec(text);
  if (match === null) return null;
  return { generation: Number.parseInt(match[1]!, 16), sequences: match[2]!.split(',').map(Number) };
}

/** Sequence of the last record of a lane that the segments hold, according to `mark`. */
export function copiedOf(mark: Mark | null, lane: number, generation: Generation): number {
  return mark === null || mark.generation !== generation ? 0 : (mark.sequences[lane] ?? 0);
}
