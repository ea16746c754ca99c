/** The common part of parsers that fill the thread's columns, from which the line encoder writes. */
import { assert } from '../base/errors.ts';
import { encodeLines } from '../encoder/line-encoder.ts';
import { countTypes } from '../encoder/type-counts.ts';
import { columns } from './columns.ts';
import { inputBytes } from './input-buffer.ts';
import { describeItemErrors, rejected } from './item-errors.ts';
import {
  BATCH_CEILING,
  BODY_CEILING_BYTES,
  type BodyFormat,
  INPUT_SLACK_BYTES,
  type ParseFailure,
  type ParseOutcome,
  type Parser,
  type ParserLimits,
} from './parser.ts';

/** The bytes of `inputBytes` that a parser with these limits exposes. */
export function inputFor({ maxBodyBytes, maxBatch }: ParserLimits): Uint8Array {
  assert(maxBodyBytes <= BODY_CEILING_BYTES, 'maxBodyBytes is at most 64 MiB');
  assert(maxBatch > 0 && maxBatch <= BATCH_CEILING, 'maxBatch is 1 to 131,072');
  return inputBytes.subarray(0, maxBodyBytes + INPUT_SLACK_BYTES);
}

export abstract class ColumnParser implements Parser {
  readonly input: Uint8Array;
  readonly columns = columns;
  readonly errors = describeItemErrors;
  private receiptMs = 0;

  constructor(limits: ParserLimits) {
    this.input = inputFor(limits);
  }

  get seen(): number {
    return columns.count + rejected;
  }

  get accepted(): number {
    return columns.count;
  }

  get rejected(): number {
    return rejected;
  }

  parse(length: number, format: BodyFormat, receiptMs: number): ParseOutcome {
    this.receiptMs = receiptMs;
    return this.fillColumns(length, format);
  }

  /** Parses into the columns; sets their count to 0 unless the body is PARSED. */
  protected abstract fillColumns(length: number, format: BodyFormat): ParseOutcome;
  abstract failure(): ParseFailure;

  encode(bytes: Uint8Array, view: DataView, offset: number): number {
    return encodeLines(columns, this.receiptMs, bytes, view, offset);
  }

  countTypes(counts: Int32Array): void {
    countTypes(columns.type, columns.count, counts);
  }
}
