/**
 * Requests made once and changed in place: only the digits of a request's number are patched before it is sent, so
 * every request, and every metric in it, is distinct and none costs more than a few byte stores.
 *
 * Each metric carries the tag `id`: `<run id>` `<mark>` `<request number>`, the number in fixed width. The mark of
 * the last metric tells whether the request is one of those looked for in the files: they are found by searching for
 * nothing else.
 */

import { sampleMetric, xorshift32 } from './sample-metrics.ts';

export const MARK_PLAIN = '-';
export const MARK_SAMPLED = '+';
export const RUN_ID_CHARS = 8;
export const NUMBER_DIGITS = 9;
export const NUMBER_MAX = 10 ** NUMBER_DIGITS - 1;

const BYTE_MARK_PLAIN = MARK_PLAIN.charCodeAt(0);
const BYTE_MARK_SAMPLED = MARK_SAMPLED.charCodeAt(0);
const DIGIT_0 = 0x30;
const NUMBER_PLACEHOLDER = '0'.repeat(NUMBER_DIGITS);
const KEY_FIELD = 'Idempotency-Key: ';

export interface TemplateOptions {
  /** Host header: `address:port`. */
  readonly authority: string;
  readonly batch: number;
  readonly seed: number;
  /** RUN_ID_CHARS letters and digits. */
  readonly runId: string;
  readonly keepAlive: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** With a key for each request, so that it can be sent again. */
  readonly isKeyed: boolean;
}

/** The tag in a metric's line, up to the mark. */
export const idPrefix = (runId: string): string => `"id":"${runId}`;

function metricText(index: number, random: () => number, runId: string): string {
  const { tags, ...metric } = sampleMetric(index, random);
  return JSON.stringify({ ...metric, tags: { ...tags, id: `${runId}${MARK_PLAIN}${NUMBER_PLACEHOLDER}` } });
}

/** The body of request number 0. */
function bodyText({ batch, seed, runId }: Pick<TemplateOptions, 'batch' | 'seed' | 'runId'>): string {
  const random = xorshift32(seed);
  const metrics = Array.from({ length: batch }, (_, index) => metricText(index, random, runId));
  return `{"metrics":[${metrics.join(',')}]}`;
}

function requestText(options: TemplateOptions, body: string): string {
  const fields = [
    `Host: ${options.authority}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(options.headers).map(([name, value]) => `${name}: ${value}`),
    ...(options.isKeyed ? [`${KEY_FIELD}"${options.runId}${MARK_PLAIN}${NUMBER_PLACEHOLDER}"`] : []),
    ...(options.keepAlive ? [] : ['Connection: close']),
  ];
  return `POST /metrics HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`;
}

/** One client's request, whole, ready to be sent again and again. */
export class RequestTemplate {
  readonly bytes: Buffer;
  /** Offsets of the first digit of each metric's number, and before them of the key's, if there is one. */
  private readonly numberOffsets: Int32Array;
  private readonly lastMark: number;
  private readonly digits = new Uint8Array(NUMBER_DIGITS).fill(DIGIT_0);

  constructor(options: TemplateOptions) {
    const text = requestText(options, bodyText(options));
    this.bytes = Buffer.from(text, 'latin1');
    const keys = options.isKeyed ? 1 : 0;
    this.numberOffsets = new Int32Array(keys + options.batch);
    const place = (placeholder: string, from: number): number =>
      this.bytes.indexOf(placeholder, from) + placeholder.length;
    let at = 0;
    if (options.isKeyed) {
      at = place(`${KEY_FIELD}"${options.runId}${MARK_PLAIN}`, 0);
      this.numberOffsets[0] = at;
    }
    for (let metric = 0; metric < options.batch; metric++) {
      at = place(`${idPrefix(options.runId)}${MARK_PLAIN}`, at);
      this.numberOffsets[keys + metric] = at;
    }
    this.lastMark = at - 1;
  }

  /** Makes it the request of this number, 0 to NUMBER_MAX. */
  patch(number: number, isSampled: boolean): void {
    const from = changedFrom(this.digits, number);
    patchDigits(this.bytes, this.numberOffsets, this.digits, from);
    this.bytes[this.lastMark] = isSampled ? BYTE_MARK_SAMPLED : BYTE_MARK_PLAIN;
  }
}

/** Writes the digits of `number`; returns the place of the first that is another than before. */
function changedFrom(digits: Uint8Array, number: number): number {
  let rest = number;
  let from = NUMBER_DIGITS;
  for (let place = NUMBER_DIGITS - 1; place >= 0; place--) {
    const next = Math.floor(rest / 10);
    const digit = DIGIT_0 + rest - next * 10;
    if (digits[place] !== digit) {
      digits[place] = digit;
      from = place;
    }
    rest = next;
  }
  return from;
}

function patchDigits(bytes: Buffer, offsets: Int32Array, digits: Uint8Array, from: number): void {
  for (let k = 0; k < offsets.length; k++) {
    const offset = offsets[k]!;
    for (let place = from; place < NUMBER_DIGITS; place++) bytes[offset + place] = digits[place]!;
  }
}
