/**
 * Parses one metric object into one row of the columns, in one pass over its bytes.
 *
 * Keys may come in any order. The usual spelling of the five known keys, `"name":`, is recognised by comparing 32-bit
 * words. Other spellings (white space, escapes) and other keys go through `parseKey`. An invalid item is still
 * checked to its end; the next item reuses its row.
 */
import {
  FORMATTED_TIMESTAMP,
  NO_TIMESTAMP,
  TYPE_COUNTER,
  TYPE_GAUGE,
  TYPE_HISTOGRAM,
  TYPE_SUMMARY,
} from '../../encoder/columns.ts';
import { columns } from '../columns.ts';
import { inputBytes, inputView } from '../input-buffer.ts';
import { type ItemField, rejectItem } from '../item-errors.ts';
import { numberOf, scanNumber, skipDigits } from '../json/number.ts';
import { skipColon, skipValue } from '../json/skip.ts';
import { skipSpace } from '../json/space.ts';
import {
  droppedBytes,
  hasControl,
  scanName,
  scanString,
  scratchTop,
  unescapeToScratch,
} from '../json/strings.ts';
import { NAME_MAX_BYTES } from '../parser.ts';
import { BROKEN, fail, type Reason } from '../reasons.ts';
import { parseTags } from './tags.ts';

const B = inputBytes;
const V = inputView;
const ERR = BROKEN;

const NAME_START = columns.nameStart;
const NAME_END = columns.nameEnd;
const VALUE_START = columns.valueStart;
const VALUE_END = columns.valueEnd;
const TYPE = columns.type;
const TIMESTAMP = columns.timestamp;
const TIMESTAMP_START = columns.timestampStart;
const TIMESTAMP_END = columns.timestampEnd;
const TAGS_START = columns.tagsStart;

const GAUGE = TYPE_GAUGE;
const COUNTER = TYPE_COUNTER;
const HISTOGRAM = TYPE_HISTOGRAM;
const SUMMARY = TYPE_SUMMARY;
const NAME_MAX = NAME_MAX_BYTES;
const UNSTAMPED = NO_TIMESTAMP;

const LAST_SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The fields as bits of a set; 0 for unknown keys. */
const OTHER = 0;
const NAME = 1;
const VALUE_FIELD = 2;
const TYPE_FIELD = 4;
const TIMESTAMP_FIELD = 8;
const TAGS = 16;
const REQUIRED = NAME | VALUE_FIELD;

/** Range of dates in JavaScript; SQL timestamps hold it too, and all its integers are safe. */
const TIMESTAMP_MAX_MS = 8.64e15;
/** Every integer with at most this many digits is within the range of timestamps. */
const TIMESTAMP_DIGITS = 15;
/** Bytes of the longest field name if every character is an escape. */
const KEY_MAX_BYTES = 6 * 'timestamp'.length;

// Four bytes as a little-endian word; names begin and values end with their quote.
const QUOTE_NAM = 0x6d616e22;
const E_QUOTE_COLON = 0x3a2265; // three bytes
const QUOTE_VAL = 0x6c617622;
const UE_QUOTE_COLON = 0x3a226575;
const QUOTE_TYP = 0x70797422;
const QUOTE_TIM = 0x6d697422;
const ESTA = 0x61747365;
const MP_QUOTE_COLON = 0x3a22706d;
const QUOTE_TAG = 0x67617422;
const S_QUOTE_COLON = 0x3a2273; // three bytes
const QUOTE_GAU = 0x75616722;
const UGE_QUOTE = 0x22656775;
const QUOTE_COU = 0x756f6322;
const NTER = 0x7265746e;
const QUOTE_HIS = 0x73696822;
const TOGR = 0x72676f74;
const RAM_QUOTE = 0x226d6172;
const QUOTE_SUM = 0x6d757322;
const MARY = 0x7972616d;

/** The field that `parseKey` found. */
let keyField = OTHER;

/**
 * Parses the object at `open` into row `row`; `item-errors.ts` records an invalid one.
 * @param index of the item, for errors
 * @param depth number of containers open around it
 * @returns the offset after the closing brace, or BROKEN
 */
export function parseItem(open: number, row: number, index: number, depth: number): number {
  TYPE[row] = GAUGE;
  TIMESTAMP_START[row] = UNSTAMPED;
  TAGS_START[row] = -1;
  let fields = 0;
  let i = open + 1;
  let c = B[i]!;
  if (c <= LAST_SPACE) {
    i = skipSpace(i);
    c = B[i]!;
  }
  if (c === CLOSE_BRACE) {
    rejectItem(index, open, 'name', 'REQUIRED');
    return i + 1;
  }
  for (;;) {
    const key = i;
    let field = OTHER;
    const word = V.getInt32(i, true);
    if (word === QUOTE_NAM) {
      if ((V.getInt32(i + 4, true) & 0xffffff) === E_QUOTE_COLON) {
        field = NAME;
        i += 7;
      }
    } else if (word === QUOTE_VAL) {
      if (V.getInt32(i + 4, true) === UE_QUOTE_COLON) {
        field = VALUE_FIELD;
        i += 8;
      }
    } else if (word === QUOTE_TYP) {
      if ((V.getInt32(i + 4, true) & 0xffffff) === E_QUOTE_COLON) {
        field = TYPE_FIELD;
        i += 7;
      }
    } else if (word === QUOTE_TIM) {
      if (V.getInt32(i + 4, true) === ESTA && V.getInt32(i + 8, true) === MP_QUOTE_COLON) {
        field = TIMESTAMP_FIELD;
        i += 12;
      }
    } else if (word === QUOTE_TAG && (V.getInt32(i + 4, true) & 0xffffff) === S_QUOTE_COLON) {
      field = TAGS;
      i += 7;
    }
    //> 3.2 other spellings and unknown keys
    //: if (field === OTHER) return fail(i, 'KEY');
    if (field === OTHER) {
      i = parseKey(i);
      if (i < 0) return ERR;
      field = keyField;
    }
    //<
    c = B[i]!;
    if (c <= LAST_SPACE) {
      i = skipSpace(i);
      c = B[i]!;
    }
    if ((fields & field) !== 0) {
      //> 3.3 a field twice
      //: i = skipValue(i, depth + 1);
      rejectItem(index, key, fieldName(field), 'TWICE');
      i = skipValue(i, depth + 1);
      //<
    } else {
      //> 3.1 each field has its column
      //: fields |= OTHER;
      //: i = skipValue(i, depth + 1);
      fields |= field;
      if (field === NAME) i = parseName(i, row, index, depth);
      else if (field === VALUE_FIELD) i = parseMetricValue(i, row, index, depth);
      else if (field === TYPE_FIELD) i = parseType(i, row, index, depth);
      else if (field === TIMESTAMP_FIELD) i = parseTimestamp(i, row, index, depth);
      else if (field === TAGS) {
        if (c === OPEN_BRACE) i = parseTags(i, row, index, depth + 1);
        else i = rejectValue(i, index, depth, 'tags', 'OBJECT');
      } else i = skipValue(i, depth + 1);
      //<
    }
    if (i < 0) return ERR;
    c = B[i]!;
    if (c <= LAST_SPACE) {
      i = skipSpace(i);
      c = B[i]!;
    }
    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);
      continue;
    }
    if (c !== CLOSE_BRACE) return fail(i, 'COMMA_OR_BRACE');
    //> 3.3 a field is missing
    if ((fields & REQUIRED) !== REQUIRED) {
      rejectItem(index, open, (fields & NAME) === 0 ? 'name' : 'value', 'REQUIRED');
    }
    //<
    return i + 1;
  }
}

/** Rejects the item because of a value of the wrong kind, and skips the value. */
function rejectValue(i: number, index: number, depth: number, field: ItemField, reason: Reason): number {
  const end = skipValue(i, depth + 1);
  if (end >= 0) rejectItem(index, i, field, reason);
  return end;
}

function parseName(i: number, row: number, index: number, depth: number): number {
  if (B[i] !== QUOTE) return rejectValue(i, index, depth, 'name', 'STRING');
  const start = i + 1;
  let end = scanName(start);
  let bytes = end - start;
  if (end < 0) {
    if (end === ERR) return ERR;
    end = ~end;
    bytes = end - start - droppedBytes;
    if (hasControl) rejectItem(index, i, 'name', 'NAME_CONTROL');
  }
  if ((bytes - 1) >>> 0 >= NAME_MAX) rejectItem(index, i, 'name', bytes === 0 ? 'EMPTY' : 'NAME_LENGTH');
  NAME_START[row] = start;
  NAME_END[row] = end;
  return end + 1;
}

function parseMetricValue(i: number, row: number, index: number, depth: number): number {
  const c = B[i]!;
  if (c !== MINUS && (c < ZERO || c > NINE)) return rejectValue(i, index, depth, 'value', 'NUMBER');
  let end = scanNumber(i);
  if (end < 0) {
    if (end === ERR) return ERR;
    end = ~end;
    if (!Number.isFinite(numberOf(i, end))) rejectItem(index, i, 'value', 'NUMBER');
  }
  VALUE_START[row] = i;
  VALUE_END[row] = end;
  return end;
}

function parseTimestamp(i: number, row: number, index: number, depth: number): number {
  const first = B[i]!;
  if (first > ZERO && first <= NINE) {
    const end = skipDigits(i + 1);
    const c = B[end]!;
    if ((c === COMMA || c === CLOSE_BRACE) && end - i <= TIMESTAMP_DIGITS) {
      TIMESTAMP_START[row] = i;
      TIMESTAMP_END[row] = end;
      return end;
    }
  }
  return parseOtherTimestamp(i, row, index, depth);
}

/** Parses a timestamp in any notation of an integer; the encoder will format it. */
function parseOtherTimestamp(i: number, row: number, index: number, depth: number): number {
  const c = B[i]!;
  if (c !== MINUS && (c < ZERO || c > NINE)) return rejectValue(i, index, depth, 'timestamp', 'TIMESTAMP');
  let end = scanNumber(i);
  if (end === ERR) return ERR;
  if (end < 0) end = ~end;
  const value = numberOf(i, end);
  if (!Number.isInteger(value) || Math.abs(value) > TIMESTAMP_MAX_MS) {
    rejectItem(index, i, 'timestamp', 'TIMESTAMP');
  }
  // Adding 0 turns -0 into 0.
  TIMESTAMP[row] = value + 0;
  TIMESTAMP_START[row] = FORMATTED_TIMESTAMP;
  return end;
}

function parseType(i: number, row: number, index: number, depth: number): number {
  const word = V.getInt32(i, true);
  if (word === QUOTE_GAU) {
    if (V.getInt32(i + 3, true) === UGE_QUOTE) return i + 7;
  } else if (word === QUOTE_COU) {
    if (V.getInt32(i + 4, true) === NTER && B[i + 8] === QUOTE) {
      TYPE[row] = COUNTER;
      return i + 9;
    }
  } else if (word === QUOTE_HIS) {
    if (V.getInt32(i + 4, true) === TOGR && V.getInt32(i + 7, true) === RAM_QUOTE) {
      TYPE[row] = HISTOGRAM;
      return i + 11;
    }
  } else if (word === QUOTE_SUM && V.getInt32(i + 4, true) === MARY && B[i + 8] === QUOTE) {
    TYPE[row] = SUMMARY;
    return i + 9;
  }
  return parseOtherType(i, row, index, depth);
}

/** Parses a type with escapes, or rejects an unknown one. */
function parseOtherType(i: number, row: number, index: number, depth: number): number {
  if (B[i] !== QUOTE) return rejectValue(i, index, depth, 'type', 'TYPE');
  const end = scanString(i + 1);
  if (end === ERR) return ERR;
  const name = end < 0 ? shortText(i + 1, ~end) : '';
  if (name === 'gauge') TYPE[row] = GAUGE;
  else if (name === 'counter') TYPE[row] = COUNTER;
  else if (name === 'histogram') TYPE[row] = HISTOGRAM;
  else if (name === 'summary') TYPE[row] = SUMMARY;
  else rejectItem(index, i, 'type', 'TYPE');
  return (end < 0 ? ~end : end) + 1;
}

/** Parses a key in any spelling and its colon. Sets `keyField`; returns the offset of the value's first byte. */
function parseKey(i: number): number {
  if (B[i] !== QUOTE) return fail(i, 'KEY');
  let end = scanString(i + 1);
  if (end === ERR) return ERR;
  if (end < 0) end = ~end;
  keyField = fieldNamed(shortText(i + 1, end));
  return skipColon(end + 1);
}

/** Unescaped text of a validated string; '' if it is too long for any word of the contract. */
function shortText(start: number, end: number): string {
  if (end - start > KEY_MAX_BYTES) return '';
  const from = unescapeToScratch(start, end);
  const to = scratchTop();
  let text = '';
  for (let at = from; at < to; at++) text += String.fromCharCode(B[at]!);
  return text;
}

function fieldNamed(text: string): number {
  switch (text) {
    case 'name':
      return NAME;
    case 'value':
      return VALUE_FIELD;
    case 'type':
      return TYPE_FIELD;
    case 'timestamp':
      return TIMESTAMP_FIELD;
    case 'tags':
      return TAGS;
    default:
      return OTHER;
  }
}

function fieldName(field: number): ItemField {
  switch (field) {
    case NAME:
      return 'name';
    case VALUE_FIELD:
      return 'value';
    case TYPE_FIELD:
      return 'type';
    case TIMESTAMP_FIELD:
      return 'timestamp';
    default:
      return 'tags';
  }
}
