/** Parses Content-Type, Content-Encoding and Prefer of a POST. */
import { type BodyFormat, FORMAT_JSON, FORMAT_NDJSON } from '../parser/parser.ts';

export const UNSUPPORTED = -1;

/** Parsed values of earlier requests, since a client repeats its text. Bounded, since clients choose the text. */
const known = new Map<string, BodyFormat | typeof UNSUPPORTED>();
const KNOWN_MAX = 256;

function classify(contentType: string): BodyFormat | typeof UNSUPPORTED {
  // Two types, of two lines or in one: a proxy may go by the other one.
  if (contentType.replace(/"[^"]*"/g, '').includes(',')) return UNSUPPORTED;
  const essence = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (essence === '' || essence === 'application/json') return FORMAT_JSON;
  if (essence === 'application/x-ndjson') return FORMAT_NDJSON;
  return /^[\w.!#$&^-]+\/[\w.!#$&^-]+\+json$/.test(essence) ? FORMAT_JSON : UNSUPPORTED;
}

export function bodyFormatOf(contentType: string): BodyFormat | typeof UNSUPPORTED {
  if (contentType === 'application/json') return FORMAT_JSON;
  const seen = known.get(contentType);
  if (seen !== undefined) return seen;
  const format = classify(contentType);
  if (known.size < KNOWN_MAX) known.set(contentType, format);
  return format;
}

const IDENTITY = 0;
export const GZIP = 1;
export type Coding = typeof IDENTITY | typeof GZIP;
/** Value of Accept-Encoding in a 415. */
export const CODINGS_ACCEPTED = 'gzip, identity';

/** Elements that change nothing: empty ones (RFC 9110, section 5.6.1) and `identity`. */
const NO_CODING = new Set(['', 'identity']);

export function codingOf(contentEncoding: string): Coding | typeof UNSUPPORTED {
  if (contentEncoding === '') return IDENTITY;
  if (contentEncoding === 'gzip') return GZIP;
  const codings = contentEncoding
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => !NO_CODING.has(coding));
  if (codings.length === 0) return IDENTITY;
  return codings.length === 1 && /^(?:x-)?gzip$/.test(codings[0]!) ? GZIP : UNSUPPORTED;
}

/** `Prefer: handling=strict` (RFC 7240, section 4.4): one invalid item rejects the request. */
export function prefersStrict(prefer: string): boolean {
  return prefer !== '' && /(?:^|,)\s*handling\s*=\s*"?strict"?\s*(?:[;,]|$)/i.test(prefer);
}
