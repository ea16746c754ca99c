/** Number texts that are hard to round correctly. */
import type { Random } from './bodies.ts';

const TRAPS = [
  '0', '-0', '0.0', '-0.0e5', '5e-324', '-5e-324', '2.4703282292062327e-324', '2.4703282292062328e-324',
  '2.2250738585072011e-308', '2.2250738585072014e-308', '1.7976931348623157e308', '1.7976931348623158e308',
  '9007199254740991', '9007199254740992', '9007199254740993', '9007199254740994', '9007199254740995',
  '90071992547409930', '900719925474099.3', '9.007199254740993e15', '0.1', '0.2', '0.3', '0.30000000000000004',
  '1e22', '1e23', '1e-22', '1e-23', '123456789012345e22', '1234567890123456e-22', '999999999999999', '999999999999999e22',
  '9999999999999999', '99999999999999999999', '1.00000000000000011102230246251565', '8.41e21', '9.5367431640625e-7',
  '7.0420557077594588669468784357561207962098443483187940792729600000e59', '1e+0', '1E-0', '1e00000000000000000001',
  '1e99999999999999999999', '1e-99999999999999999999', '0e99999999999999999999', '3.1415926535897932384626433832795',
  '0.000000000000000000000000000000000000000000000001', `0.${'0'.repeat(400)}1`, `1${'0'.repeat(308)}`, '4.35', '4.349999999999999',
  '179769313486231580793e289', '6929495644600919.5', '3.5844466002796428e298', '22250738585072011e-324',
  '100000000000000000000000000000000000000000000000000', '1.7976931348623159e308', '0.5000000000000001110223024625156540',
]; // biome-ignore format: a table

/** Decimal text of `integer`·2^-`shift`, exact. */
function exactDecimal(integer: bigint, shift: number): string {
  const digits = (integer * 5n ** BigInt(shift)).toString().padStart(shift + 1, '0');
  const point = digits.length - shift;
  return shift === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** A text halfway between two doubles, or one unit of the last digit away. */
function halfway(random: Random): string {
  const mantissa = 2n ** 53n + BigInt(Math.floor(random() * 2 ** 52)) * 2n + 1n;
  const scale = Math.floor(random() * 40);
  const text = random() < 0.3 ? (mantissa << BigInt(scale)).toString() : exactDecimal(mantissa, scale);
  const kind = random();
  if (kind < 0.4) return text;
  const last = Number(text.at(-1));
  return text.slice(0, -1) + String(kind < 0.7 ? Math.min(9, last + 1) : Math.max(0, last - 1));
}

function randomDigits(random: Random): string {
  const digit = (): string => String(Math.floor(random() * 10));
  const length = 1 + Math.floor(random() * 26);
  let digits = Array.from({ length }, digit).join('');
  const point = Math.floor(random() * (length + 1));
  if (point > 0 && point < length) digits = `${digits.slice(0, point)}.${digits.slice(point)}`;
  else if (random() < 0.3) digits = `0.${digits}`;
  const sign = random() < 0.3 ? '-' : '';
  const exponent = random() < 0.3 ? `e${Math.floor((random() - 0.5) * (random() < 0.5 ? 60 : 700))}` : '';
  return `${sign}${digits.replace(/^0+(?=[0-9])/, '')}${exponent}`;
}

const bits = new DataView(new ArrayBuffer(8));

/** The shortest or a longer text of a double of any magnitude. */
function randomDouble(random: Random): string {
  bits.setUint32(0, random() * 2 ** 32);
  bits.setUint32(4, random() * 2 ** 32);
  const value = random() < 0.5 ? bits.getFloat64(0) : (random() - 0.5) * 10 ** Math.floor(random() * 20 - 4);
  if (!Number.isFinite(value)) return '0';
  return random() < 0.6 ? String(value) : value.toPrecision(15 + Math.floor(random() * 7));
}

export function numberTexts(random: Random, count: number): string[] {
  const makers = [halfway, randomDigits, randomDouble];
  return [...TRAPS, ...Array.from({ length: count }, (_, at) => makers[at % makers.length]!(random))];
}
