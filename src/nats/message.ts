/**
 * One message of the stream: a range of commits of one log, or a part of one large commit.
 *
 * The body is the commits' NDJSON lines as the segments hold them, without seals. Headers carry everything else, so a
 * consumer decides about a message before it parses a line:
 *
 * | header          | value                                                              |
 * |-----------------|--------------------------------------------------------------------|
 * | Ms-Format       | 1                                                                  |
 * | Ms-Log          | the log's UUID                                                     |
 * | Ms-First        | number of the first commit                                         |
 * | Ms-Last         | number of the last commit                                          |
 * | Ms-Part         | `2/5` for the second of five parts of one commit; absent otherwise |
 * | Ms-Lines        | number of lines                                                    |
 * | Ms-First-Line   | lines of the commit in the parts before this one                   |
 * | Ms-Crc32        | CRC-32 of the body, 8 hexadecimal digits                           |
 * | Ms-Seal         | CRC of the last commit's seal in the log, in the same form; absent |
 * |                 | if that commit is damaged there                                    |
 * | Ms-Commit-Bytes | body bytes of each commit, separated by commas                     |
 * | Ms-Read-At      | Unix ms at which the exporter read the first commit                |
 * | Ms-Exporter     | UUID of the exporter process                                       |
 * | Ms-Replay       | 1 if an earlier message may have held some of these commits        |
 * | Ms-Damage       | why these commits are damaged in the log; the body is empty.       |
 * |                 | With Ms-Part: why one line is not in the message                   |
 *
 * Large commits are cut at fixed places (`partsOf`), so the parts are the same each time a commit is sent.
 */
import zlib from 'node:zlib';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { crcText } from '../base/crc32.ts';
import { lineCount } from '../export/parts.ts';

/** Bounds the header Ms-Commit-Bytes to some 7 KiB. */
export const COMMITS_MAX = 1_000;

const NEWLINE = 0x0a;
const FORMAT = '1';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^\d{1,15}$/;
const CRC = /^[0-9a-f]{8}$/;
const PART = /^(\d{1,6})\/(\d{1,6})$/;

/** Which commits a message holds. */
export interface Extent {
  /** The log's UUID. */
  readonly log: string;
  readonly first: number;
  readonly last: number;
  /** From 1; 0 if the message holds whole commits. */
  readonly part: number;
  /** Parts of the commit; 0 if the message holds whole commits. */
  readonly parts: number;
}

/** Then they hold the same lines: a commit is never written twice. */
export const isSameExtent = (a: Extent, b: Extent): boolean =>
  a.log === b.log && a.first === b.first && a.last === b.last && a.part === b.part && a.parts === b.parts;

export interface CommitMessage extends Extent {
  readonly lines: number;
  /** Lines of the commit in the parts before. */
  readonly firstLine: number;
  /** Why the log does not have these commits, or why a part of one has no body; '' for sound ones. */
  readonly damage: string;
  /** Bytes of `body` for each commit from `first` on. */
  readonly commitBytes: readonly number[];
  /** CRC of the last commit's seal; null without one. */
  readonly sealCrc32: number | null;
  readonly readAtMs: number;
  readonly exporter: string;
  readonly mayRepeat: boolean;
  readonly body: Uint8Array;
}

export function encodeHeaders(message: CommitMessage): MsgHdrs {
  const { log, first, last, part, parts, lines, firstLine, damage } = message;
  const { commitBytes, sealCrc32, readAtMs, exporter, mayRepeat, body } = message;
  const set = headers();
  set.set('Ms-Format', FORMAT);
  set.set('Ms-Log', log);
  set.set('Ms-First', String(first));
  set.set('Ms-Last', String(last));
  if (part > 0) set.set('Ms-Part', `${part}/${parts}`);
  set.set('Ms-Lines', String(lines));
  if (part > 0) set.set('Ms-First-Line', String(firstLine));
  if (damage !== '') set.set('Ms-Damage', damage.replaceAll(/\s+/g, ' '));
  set.set('Ms-Crc32', crcOf(body));
  if (sealCrc32 !== null) set.set('Ms-Seal', crcText(sealCrc32));
  set.set('Ms-Commit-Bytes', commitBytes.join(','));
  set.set('Ms-Read-At', String(readAtMs));
  set.set('Ms-Exporter', exporter);
  if (mayRepeat) set.set('Ms-Replay', '1');
  return set;
}

function crcOf(body: Uint8Array): string {
  return crcText(zlib.crc32(body));
}

/** Null without the header: exporters of an older version send none. */
export function decodeSeal(set: MsgHdrs): number | null {
  const text = set.get('Ms-Seal');
  return CRC.test(text) ? Number.parseInt(text, 16) : null;
}

/** The message, checked, or the reason why it is not one of ours. Costs two passes over the body. */
export function decodeMessage(set: MsgHdrs | undefined, body: Uint8Array): CommitMessage | string {
  const extent = decodeExtent(set);
  if (typeof extent === 'string' || set === undefined) return extent as string;
  const crc = set.get('Ms-Crc32');
  if (!CRC.test(crc)) return 'it has no Ms-Crc32 header';
  if (crc !== crcOf(body)) return `its CRC is ${crcOf(body)}, the header says ${crc}`;
  const damage = set.get('Ms-Damage');
  const commitBytes = damage === '' ? set.get('Ms-Commit-Bytes').split(',').map(Number) : [];
  const commits = damage === '' ? extent.last - extent.first + 1 : 0;
  if (commitBytes.length !== commits || !endInLines(commitBytes, body)) {
    return 'its Ms-Commit-Bytes header does not describe the body';
  }
  const [lines, readAt, firstLine] = [
    set.get('Ms-Lines'),
    set.get('Ms-Read-At'),
    set.get('Ms-First-Line') || '0',
  ];
  if (!NUMBER.test(lines) || !NUMBER.test(readAt) || !NUMBER.test(firstLine)) {
    return 'its Ms-Lines, Ms-First-Line or Ms-Read-At header is not valid';
  }
  const found = lineCount(body);
  if (Number(lines) !== found) return `its body has ${found} lines, the Ms-Lines header says ${lines}`;
  return {
    ...extent,
    lines: Number(lines),
    firstLine: Number(firstLine),
    damage,
    commitBytes,
    sealCrc32: decodeSeal(set),
    readAtMs: Number(readAt),
    exporter: set.get('Ms-Exporter'),
    mayRepeat: set.get('Ms-Replay') === '1',
    body,
  };
}

/** Whether the commits fill the body, each with whole lines. Readers of lines rely on the newline at the end. */
function endInLines(commitBytes: readonly number[], body: Uint8Array): boolean {
  let end = 0;
  for (const bytes of commitBytes) {
    if (!Number.isSafeInteger(bytes) || bytes < 1) return false;
    end += bytes;
    if (body[end - 1] !== NEWLINE) return false;
  }
  return end === body.length;
}

/** The extent from the headers alone, or the reason why they are not ours. */
export function decodeExtent(set: MsgHdrs | undefined): Extent | string {
  if (set === undefined) return 'it has no headers';
  const format = set.get('Ms-Format');
  if (format === '') return 'it has no Ms-Format header';
  if (format !== FORMAT) return `its format is ${format.slice(0, 20)}, this version reads ${FORMAT}`;
  const log = set.get('Ms-Log');
  const [first, last] = [set.get('Ms-First'), set.get('Ms-Last')];
  if (!UUID.test(log) || !NUMBER.test(first) || !NUMBER.test(last)) {
    return 'its Ms-Log, Ms-First or Ms-Last header is not valid';
  }
  const range = { log, first: Number(first), last: Number(last) };
  const partText = set.get('Ms-Part');
  const [, part = '0', parts = '0'] = PART.exec(partText) ?? [];
  if (range.first < 1 || range.last < range.first || (partText !== '' && part === '0')) {
    return 'its Ms-First, Ms-Last or Ms-Part header is not valid';
  }
  if (Number(part) > Number(parts) || (parts !== '0' && range.first !== range.last)) {
    return `its Ms-Part header ${partText} is not valid`;
  }
  return { ...range, part: Number(part), parts: Number(parts) };
}
