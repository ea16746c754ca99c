/**
 * The cursor in `ms_cursor`. Its column `seal` is `4807:89abcdef`: a commit and the CRC of its seal. The commit is part of
 * it because people and `consume` move the cursor alone: seal and segment then belong to another commit.
 */
import type pg from 'pg';
import { crcText } from '../../base/crc32.ts';
import { type CommitRange, type Cursor, lastCommit } from '../sink.ts';

const HEXADECIMAL = 16;

/** Of the range's last commit, as SQL; without a CRC if that commit is damaged. */
export function sealLiteral(range: CommitRange): string {
  const last = lastCommit(range);
  return `'${range.last}:${last === null ? '' : crcText(last.crc32)}'`;
}

export async function readCursor(client: pg.ClientBase, log: string): Promise<Cursor | null> {
  const { rows } = await client.query<
    Record<'commit' | 'segment' | 'writer', string> & { seal: string | null }
  >('SELECT commit, segment, writer, seal FROM ms_cursor WHERE log = $1', [log]);
  const [row] = rows;
  if (row === undefined) return null;
  const { commit, segment, writer, seal } = row;
  const cursor = { commit: Number(commit), writer };
  if (seal === null) return { ...cursor, segment: Number(segment), crc32: null };
  const [sealed, crc = ''] = seal.split(':');
  if (sealed !== commit) return { ...cursor, segment: 0, crc32: null };
  return {
    ...cursor,
    segment: Number(segment),
    crc32: crc === '' ? null : Number.parseInt(crc, HEXADECIMAL),
  };
}
