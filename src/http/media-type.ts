/** Parses Content-Type, Content-Encoding and Prefer of a POST. */
import { type BodyFormat, FORMAT_JSON, FORMAT_NDJSON } from '../parser/parser.ts';

export const UNSUPPORTED = -1;

/** Parsed values of earlier requests, since a client repeats its text. Bounded, since clients choose the text. */
const known = new Map<string, BodyFormat | typeof UNSUPPORTED>();
const KNOWN_MAX = 256;

function classify(contentType: string): BodyFormat | typeof UNSUPPORTED {
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

export function codingOf(contentEncoding: string): Coding | typeof UNSUPPORTED {
  if (contentEncoding === '') return IDENTITY;
  switch (contentEncoding.trim().toLowerCase()) {
    case 'identity':
      return IDENTITY;
    case 'gzip':
    case 'x-gzip':
      return GZIP;
    default:
      return UNSUPPORTED;
  }
}

/** `Prefer: handling=strict` (RFC 7240, section 4.4): one invalid item rejects the request. */
export function prefersStrict(prefer: string): boolean {
  return prefer !== '' && /(?:^|,)\s*handling\s*=\s*"?strict"?\s*(?:[;,]|$)/i.test(prefer);
}
