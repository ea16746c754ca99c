/**
 * Drives the module: the single pass parses the document around the items and every item that the module refuses.
 *
 * Lines are prepared in the module's memory, from the offset in the journal modulo 8 on, and copied there at once: V8
 * copies to shared memory byte by byte unless source and target have the same alignment.
 */
import { assert } from '../../base/errors.ts';
import { encodeLines } from '../../encoder/line-encoder.ts';
import { countTypes } from '../../encoder/type-counts.ts';
import { inputFor } from '../column-parser.ts';
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { describeItemErrors, rejected } from '../item-errors.ts';
import { INPUT_AT, LINES_AT } from '../memory.ts';
import {
  type BodyFormat,
  FORMAT_NDJSON,
  PARSED,
  type ParseFailure,
  type ParseOutcome,
  type Parser,
  type ParserLimits,
} from '../parser.ts';
import { describeFailure, type ItemRuns, parseBody, setLimits } from '../single-pass/body.ts';
import type { Run } from './module.ts';

/** Addresses in the module's state; `assembly/memory.ts` has the same. */
const RESULT_AT = 1024;
const RECEIPT_AT = 1088;
const RECEIPT_BYTES = 16;
const GAUGE_AT = 1104;

/** The 32-bit results of `run` after the number of items. */
const END = 0;
const LINES_END = 1;
const REFUSED = 2;
const FIRST_COUNT = 3;
const TYPES = 4;

/** Maximum items of one call, because the module counts types in 12 bits. */
const RUN_MAX = 4095;
/** Up to this size, copying words is faster than creating a view. */
const SHORT_BYTES = 512;
const WORD_BYTES = 8;

const memory = inputBytes.buffer;
const STATE = new Uint8Array(memory, 0, INPUT_AT);
const RESULT = new Int32Array(memory, RESULT_AT, FIRST_COUNT + TYPES);
const LINES = new Uint8Array(memory, LINES_AT);
const LINES_VIEW = new DataView(memory, LINES_AT);

/** The lines of the current body, in the module's memory. */
class ModuleLines implements ItemRuns {
  /** Number of lines. */
  count = 0;
  end = 0;
  refused = false;
  private readonly run: Run;
  /** Types of the metrics that came from rows; valid if there are any. */
  private hasRows = false;
  private readonly rowCounts = new Int32Array(TYPES);
  private readonly newCounts = new Int32Array(TYPES);
  private bodyEnd = 0;
  private isNdjson = 0;
  private isFirst = 1;
  private receiptMs = -1;
  private receiptBytes = 0;
  /** Offsets in LINES of the first line and after the last one. */
  private first = 0;
  private last = 0;

  constructor(run: Run) {
    this.run = run;
    STATE.set(Buffer.from('"gauge"'), GAUGE_AT);
  }

  begin(length: number, format: BodyFormat, receiptMs: number, offset: number): void {
    if (receiptMs !== this.receiptMs) this.setReceipt(receiptMs);
    this.bodyEnd = INPUT_AT + length;
    this.isNdjson = format === FORMAT_NDJSON ? 1 : 0;
    this.isFirst = 1;
    this.first = offset & (WORD_BYTES - 1);
    this.last = this.first;
    this.count = 0;
    this.hasRows = false;
  }

  private setReceipt(receiptMs: number): void {
    const text = String(receiptMs);
    assert(text.length <= RECEIPT_BYTES, 'the time of receipt has at most 16 digits');
    for (let at = 0; at < text.length; at++) STATE[RECEIPT_AT + at] = text.charCodeAt(at);
    this.receiptMs = receiptMs;
    this.receiptBytes = text.length;
  }

  parse(i: number, rows: number, limit: number): number {
    if (rows > 0) this.writeRows(rows);
    const { bodyEnd, last, receiptBytes, isNdjson, isFirst } = this;
    const most = limit < RUN_MAX ? limit : RUN_MAX;
    const items = this.run(INPUT_AT + i, bodyEnd, LINES_AT + last, most, receiptBytes, isNdjson, isFirst);
    this.isFirst = 0;
    this.end = RESULT[END]! - INPUT_AT;
    this.last = RESULT[LINES_END]! - LINES_AT;
    this.refused = RESULT[REFUSED] === 1;
    this.count += items;
    return items;
  }

  /** Encodes the first `rows` rows of the columns. */
  writeRows(rows: number): void {
    columns.count = rows;
    this.last = encodeLines(columns, this.receiptMs, LINES, LINES_VIEW, this.last);
    this.count += rows;
    const { rowCounts, newCounts } = this;
    if (!this.hasRows) rowCounts.fill(0);
    this.hasRows = true;
    countTypes(columns.type, rows, newCounts);
    for (let type = 0; type < TYPES; type++) rowCounts[type]! += newCounts[type]!;
  }

  countTypes(counts: Int32Array): void {
    for (let type = 0; type < TYPES; type++) {
      const inRuns = this.isFirst === 1 ? 0 : RESULT[FIRST_COUNT + type]!;
      counts[type] = inRuns + (this.hasRows ? this.rowCounts[type]! : 0);
    }
  }

  /** Copies the lines; may write up to 7 bytes after them. Returns the offset after them. */
  copyTo(bytes: Uint8Array, view: DataView, offset: number): number {
    const { first, last } = this;
    const end = offset + last - first;
    if (last - first > SHORT_BYTES) {
      bytes.set(LINES.subarray(first, last), offset);
      return end;
    }
    for (let from = first, to = offset; to < end; from += WORD_BYTES, to += WORD_BYTES) {
      view.setFloat64(to, LINES_VIEW.getFloat64(from, true), true);
    }
    return end;
  }
}

export class SimdParser implements Parser {
  readonly input: Uint8Array;
  readonly errors = describeItemErrors;
  private readonly lines: ModuleLines;

  constructor(limits: ParserLimits, run: Run) {
    this.input = inputFor(limits);
    this.lines = new ModuleLines(run);
    setLimits(limits);
  }

  get seen(): number {
    return this.lines.count + rejected;
  }

  get accepted(): number {
    return this.lines.count;
  }

  get rejected(): number {
    return rejected;
  }

  parse(length: number, format: BodyFormat, receiptMs: number, offset: number): ParseOutcome {
    const { lines } = this;
    lines.begin(length, format, receiptMs, offset);
    const outcome = parseBody(length, format, lines);
    if (outcome !== PARSED) lines.count = 0;
    else if (columns.count > 0) lines.writeRows(columns.count);
    return outcome;
  }

  encode(bytes: Uint8Array, view: DataView, offset: number): number {
    return this.lines.copyTo(bytes, view, offset);
  }

  countTypes(counts: Int32Array): void {
    this.lines.countTypes(counts);
  }

  failure(): ParseFailure {
    return describeFailure();
  }
}
