/** The stored lines, as the encoder writes them, from a seed. */
import { digestOf, seededRandom } from '../workloads.ts';

/** Lines of a request, which under the synchronous writer are a commit. */
export const REQUEST_LINES = [1, 10, 100, 1_000] as const;
/** Clients that wait for their answers at the same time. */
export const CLIENT_COUNTS = [1, 64] as const;
export const SEED = 20_262;
const LINES = 4_000;

const random = seededRandom(SEED);
const whole = (limit: number): number => Math.floor(random() * limit);

export const LINE_TEXTS: readonly string[] = Array.from(
  { length: LINES },
  () =>
    `{"timestamp":${1_760_000_000_000 + whole(10_000)},"name":"cpu.usage.${whole(40)}","value":${whole(1e6) / 100},` +
    `"type":"gauge","tags":{"host":"web-${whole(500)}","region":"eu"}}\n`,
);

/** Requests of `lines` lines each, to be sent in turn. */
export function requestsOf(lines: number): Uint8Array[] {
  return Array.from({ length: LINES / lines }, (_, request) =>
    Buffer.from(LINE_TEXTS.slice(request * lines, (request + 1) * lines).join('')),
  );
}

export const WORKLOAD_DIGEST = digestOf(...LINE_TEXTS);
