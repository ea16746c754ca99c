/**
 * The client that trusted proxies report, from `Forwarded` (RFC 7239) or `X-Forwarded-For`.
 *
 * Each proxy appends the address that it saw. So the list is read from the right, up to the first untrusted address:
 * the client may have invented everything to the left of it.
 */
import { type IpRanges, parseIpAddress, unmapped } from '../base/ip-address.ts';

/** Reported by a proxy that hides the address, or not an address at all. */
type Hop = Uint8Array | null;

/** An address with an optional port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. */
function parseNode(text: string): Hop {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text);
  if (bracketed !== null) return bracketed[1]!.includes(':') ? parseIpAddress(bracketed[1]!) : null;
  const withPort = /^([\d.]+):\d{1,5}$/.exec(text);
  return parseIpAddress(withPort === null ? text : withPort[1]!);
}

/** The elements of `X-Forwarded-For`, nearest proxy first: a client may have put thousands to the left of it. */
function* nodesOfXForwardedFor(value: string): Generator<string> {
  for (let end = value.length; end !== -1; ) {
    const comma = end === 0 ? -1 : value.lastIndexOf(',', end - 1);
    yield value.slice(comma + 1, end).trim();
    end = comma;
  }
}

/** One parameter of `Forwarded` with what follows it: `name=token`, or `name="quoted"`. */
const PARAMETER =
  /[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+)=([!#$%&'*+.^_`|~0-9a-z-]+|"(?:[^"\\]|\\.)*")[ \t]*([;,]|$)/iy;

/**
 * The `for` of each element of `Forwarded`, nearest proxy first; null where it has none.
 * @returns null if the value does not follow the grammar: then no part of it can be trusted
 */
function nodesOfForwarded(value: string): (string | null)[] | null {
  const nodes: (string | null)[] = [];
  let node: string | null = null;
  PARAMETER.lastIndex = 0;
  while (PARAMETER.lastIndex < value.length) {
    const match = PARAMETER.exec(value);
    if (match === null) return null;
    const [, name = '', text = '', separator] = match;
    if (name.toLowerCase() === 'for') {
      if (node !== null) return null;
      node = text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
    }
    if (separator === ';') continue;
    nodes.push(node);
    node = null;
  }
  return nodes.reverse();
}

/**
 * Walks from the nearest proxy towards the client, and parses no address beyond it.
 * @param peer the address of the connection, a trusted proxy
 * @returns the right-most untrusted address; if all are trusted, the left-most; if a proxy reports no valid address,
 *   the address of that proxy, so that its clients share one identity and cannot invent others
 */
function walk(nodes: Iterable<string | null>, trusted: IpRanges, peer: Uint8Array): Uint8Array {
  let nearest = peer;
  for (const node of nodes) {
    const hop = node === null ? null : parseNode(node);
    if (hop === null) return nearest;
    nearest = hop;
    if (!trusted.has(hop)) return nearest;
  }
  return nearest;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/**
 * The address that identifies the client of a request.
 *
 * With both headers, a client may have sent the one that its proxy does not set. They count only if they agree;
 * otherwise the client is identified by the proxy, like one for which the proxy reports nothing.
 * @param remote the address of the connection, 4 or 16 bytes
 * @param forwarded value of `Forwarded`, several lines joined by commas; '' if absent
 * @param xForwardedFor the same for `X-Forwarded-For`
 */
export function clientAddress(
  trusted: IpRanges,
  remote: Uint8Array,
  forwarded: string,
  xForwardedFor: string,
): Uint8Array {
  const peer = unmapped(remote);
  if (!trusted.has(peer)) return peer;
  if (forwarded === '' && xForwardedFor === '') return peer;
  if (forwarded === '') return walk(nodesOfXForwardedFor(xForwardedFor), trusted, peer);
  const nodes = nodesOfForwarded(forwarded);
  const client = nodes === null ? peer : walk(nodes, trusted, peer);
  if (xForwardedFor === '') return client;
  return isEqual(client, walk(nodesOfXForwardedFor(xForwardedFor), trusted, peer)) ? client : peer;
}
