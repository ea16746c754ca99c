/** IP addresses as bytes: 4 for IPv4, 16 for IPv6. An IPv4 address mapped into IPv6 (RFC 4291, 2.5.5.2) counts as IPv4. */

const MAPPED_PREFIX_BYTES = 12;

function parseV4(text: string): Uint8Array | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  const bytes = match.slice(1).map(Number);
  // Leading zeros are octal to some readers and decimal to others (RFC 6943, 3.1.1).
  const isExact = bytes.every((byte, index) => byte <= 255 && String(byte) === match[index + 1]);
  return isExact ? Uint8Array.from(bytes) : null;
}

/** The 16-bit groups of one side of `::`, or null. The last group of an address may be dotted, which gives two. */
function parseGroups(text: string, isLastSide: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else {
      const v4 = isLastSide && index === parts.length - 1 ? parseV4(part) : null;
      if (v4 === null) return null;
      groups.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    }
  }
  return groups;
}

const GROUPS = 8;

function parseV6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  if (head === null || head === undefined || tail === null) return null;
  const missing = GROUPS - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

/** An address in its shorter form: IPv4 if it is IPv4 mapped into IPv6. */
export function unmapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== 16) return bytes;
  for (let i = 0; i < MAPPED_PREFIX_BYTES; i++) {
    if (bytes[i] !== (i < 10 ? 0 : 255)) return bytes;
  }
  return bytes.subarray(MAPPED_PREFIX_BYTES);
}

/** @returns null if the text is not an address; zone identifiers (`%eth0`) are not accepted */
export function parseIpAddress(text: string): Uint8Array | null {
  if (!text.includes(':')) return parseV4(text);
  const bytes = parseV6(text);
  return bytes && unmapped(bytes);
}

interface Range {
  readonly address: Uint8Array;
  readonly prefixBits: number;
}

function parseRange(text: string): Range | null {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  const address = parseIpAddress(addressText);
  if (address === null || rest.length > 0) return null;
  if (prefixText === undefined) return { address, prefixBits: address.length * 8 };
  if (!/^\d{1,3}$/.test(prefixText)) return null;
  // The prefix of a mapped address counts the 96 bits that the shorter form leaves out.
  const prefixBits = Number(prefixText) - (addressText.includes(':') && address.length === 4 ? 96 : 0);
  return prefixBits >= 0 && prefixBits <= address.length * 8 ? { address, prefixBits } : null;
}

function contains({ address, prefixBits }: Range, candidate: Uint8Array): boolean {
  if (candidate.length !== address.length) return false;
  const wholeBytes = prefixBits >> 3;
  for (let i = 0; i < wholeBytes; i++) if (address[i] !== candidate[i]) return false;
  const mask = 0xff00 >> (prefixBits & 7);
  return ((address[wholeBytes]! ^ candidate[wholeBytes]!) & mask & 255) === 0;
}

/** A set of addresses and CIDR ranges, both versions. */
export class IpRanges {
  private readonly ranges: readonly Range[];

  private constructor(ranges: readonly Range[]) {
    this.ranges = ranges;
  }

  /**
   * @param list addresses and CIDR ranges, separated by commas
   * @returns the first member that is neither, if there is one
   */
  static parse(list: string): IpRanges | { readonly invalid: string } {
    const ranges: Range[] = [];
    for (const member of list.split(',').map((text) => text.trim())) {
      const range = parseRange(member);
      if (range === null) return { invalid: member };
      ranges.push(range);
    }
    return new IpRanges(ranges);
  }

  /** @param address in its shorter form, see `unmapped` */
  has(address: Uint8Array): boolean {
    return this.ranges.some((range) => contains(range, address));
  }
}
