/**
 * The benchmark's workload for servers that keep series: the same metrics in any encoding, and in each request other
 * timestamps and values. A database keeps one sample for a series and a timestamp, and hardly any bytes for values
 * that repeat, so bodies that are sent again and again would flatter it on the disk, or look lost.
 *
 * A request has a *stamp*, its time in steps of 10 ms, which no other request of a run has:
 *
 * ```
 *  timestamp   179525130000│3     12 digits: the stamp; last digit: 0 for the first metric of a series in the body,
 *                                 1 for the second, …
 *  value       42│.│817           whole part: fixed; 3 digits: from a pool of random ones, where to is by the stamp
 * ```
 *
 * Both have a fixed width, so patching a body is two small copies a metric: the Lua script that wrk runs and
 * `stampBody` here make the same bytes.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createWorkload,
  type Workload,
  type WorkloadMetric,
  WRK_DONE,
  type WrkFiles,
} from '../under-test/workload.ts';
import { digestOf } from '../workloads.ts';
import type { Encoding, TextMetric } from './encodings.ts';

const STAMP_DIGITS = 12;
export const STAMP_MS = 10;
const FRACTION_DIGITS = 3;
const MARK = '@';

/** A prime, so that neighbouring stamps begin at very different places. */
const POOL_STARTS = 65_521;
const POOL_STRIDE = 7_919;
const MAX_BATCH = 1_000;
const POOL_SEED = 'random digits';

/** Random decimal digits as ASCII, the same in every run. */
const DIGIT_POOL: Buffer = (() => {
  const pool = Buffer.alloc(POOL_STARTS + FRACTION_DIGITS * MAX_BATCH);
  let block = createHash('sha256').update(POOL_SEED).digest();
  for (let at = 0, used = 0; at < pool.length; used++) {
    if (used === block.length) {
      block = createHash('sha256').update(block).digest();
      used = 0;
    }
    const byte = block[used] as number;
    // 250 is the largest multiple of 10 in a byte; above it the digits 0 to 5 would be likelier.
    if (byte < 250) pool[at++] = 0x30 + (byte % 10);
  }
  return pool;
})();

/** A request's body before it is stamped: zeros where the patches go. */
export interface StampedBody {
  readonly template: Buffer;
  /** Where each metric's stamp begins. */
  readonly stampsAt: Int32Array;
  /** Where each metric's fraction begins. */
  readonly fractionsAt: Int32Array;
}

/** One batch size, whatever the encoding. */
export interface StampedWorkload {
  readonly batch: number;
  /** Metrics of each body; their timestamps hold only what the stamp does not give, their values the whole part. */
  readonly bodies: readonly (readonly WorkloadMetric[])[];
  readonly series: number;
  /** Of all bodies as MetricsStream gets them, before they are stamped. */
  readonly digest: string;
}

function seriesKey({ name, tags }: WorkloadMetric): string {
  return JSON.stringify([name, tags]);
}

/** Same series, same order as the benchmark's workload; the k-th metric of a series in its body has timestamp k. */
function stripped({ bodies }: Workload): WorkloadMetric[][] {
  return bodies.map((body) => {
    const seen = new Map<string, number>();
    return (JSON.parse(body) as { metrics: WorkloadMetric[] }).metrics.map((metric) => {
      const key = seriesKey(metric);
      const occurrence = seen.get(key) ?? 0;
      if (occurrence >= STAMP_MS) throw new RangeError(`series ${key} is in one body too often`);
      seen.set(key, occurrence + 1);
      return { ...metric, timestamp: occurrence, value: Math.trunc(metric.value) };
    });
  });
}

function marked({ name, value, type, timestamp, tags }: WorkloadMetric): TextMetric {
  const text = `${value}.${MARK.repeat(FRACTION_DIGITS)}`;
  return { name, value: text, type, timestamp: `${MARK.repeat(STAMP_DIGITS)}${timestamp}`, tags };
}

function placesOf(text: string, width: number): Int32Array {
  const runs = text.matchAll(new RegExp(`${MARK}+`, 'g'));
  return Int32Array.from([...runs].filter(([run]) => run.length === width).map(({ index }) => index));
}

/** @throws when the encoding does not carry each number exactly once, as plain text */
export function encodeBody(metrics: readonly WorkloadMetric[], encoding: Encoding): StampedBody {
  // All that is not ASCII takes one character for each byte, so that places in the text are places in the bytes.
  const text = Buffer.from(encoding.encode(metrics.map(marked)), 'utf8').toString('latin1');
  const stampsAt = placesOf(text, STAMP_DIGITS);
  const fractionsAt = placesOf(text, FRACTION_DIGITS);
  if (stampsAt.length !== metrics.length || fractionsAt.length !== metrics.length) {
    throw new Error(`${encoding.title}: numbers to patch are not where they should be`);
  }
  return { template: Buffer.from(text.replaceAll(MARK, '0'), 'latin1'), stampsAt, fractionsAt };
}

export function createStampedWorkload(batch: number): StampedWorkload {
  if (batch > MAX_BATCH) throw new RangeError(`at most ${MAX_BATCH} metrics a request`);
  const bodies = stripped(createWorkload(batch));
  return {
    batch,
    bodies,
    series: new Set(bodies.flat().map(seriesKey)).size,
    digest: digestOf(...bodies.map((metrics) => JSON.stringify(metrics))),
  };
}

function poolStart(stamp: number): number {
  return (stamp * POOL_STRIDE) % POOL_STARTS;
}

/** Writes a request's stamp and values into `bytes`, in which a copy of the template begins at `start`. */
export function stampBody(
  bytes: Buffer,
  start: number,
  { stampsAt, fractionsAt }: StampedBody,
  stamp: number,
): void {
  const digits = Buffer.from(String(stamp).padStart(STAMP_DIGITS, '0'), 'latin1');
  let from = poolStart(stamp);
  for (let metric = 0; metric < stampsAt.length; metric++) {
    digits.copy(bytes, start + (stampsAt[metric] as number));
    DIGIT_POOL.copy(bytes, start + (fractionsAt[metric] as number), from, from + FRACTION_DIGITS);
    from += FRACTION_DIGITS;
  }
}

/** The metrics that a stamped body carries, to hold against what a server gives back. */
export function stampedMetrics(metrics: readonly WorkloadMetric[], stamp: number): WorkloadMetric[] {
  const from = poolStart(stamp);
  return metrics.map((metric, index) => {
    const at = from + index * FRACTION_DIGITS;
    const fraction = DIGIT_POOL.toString('latin1', at, at + FRACTION_DIGITS);
    return {
      ...metric,
      timestamp: stamp * STAMP_MS + metric.timestamp,
      value: Number(`${metric.value}.${fraction}`),
    };
  });
}

/**
 * Patches the whole request in memory of its own and hands wrk a copy; LuaJIT compiles the loop. Arguments: content
 * type, first stamp, digit pool, bodies; beside each body a file with `.at` behind its name, `stamp fraction` a line.
 */
const STAMPING_SCRIPT = `local ffi = require("ffi")
local requests, at, stamp, pool = {}, 0, 0, nil

local function contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = args[1]
  stamp = tonumber(args[2])
  local digits = contents(args[3])
  pool = ffi.new("char[?]", #digits)
  ffi.copy(pool, digits, #digits)
  for i = 4, #args do
    local body = contents(args[i])
    local text = wrk.format(nil, nil, nil, body)
    local stamps, fractions = {}, {}
    for stampAt, fractionAt in contents(args[i] .. ".at"):gmatch("(%d+) (%d+)") do
      stamps[#stamps + 1] = #text - #body + tonumber(stampAt)
      fractions[#fractions + 1] = #text - #body + tonumber(fractionAt)
    end
    local bytes = ffi.new("char[?]", #text)
    ffi.copy(bytes, text, #text)
    requests[#requests + 1] = {
      bytes = bytes, length = #text, count = #stamps,
      stamps = ffi.new("int32_t[?]", #stamps, stamps),
      fractions = ffi.new("int32_t[?]", #fractions, fractions),
    }
  end
end

function request()
  at = at % #requests + 1
  local digits, from = string.format("%0${STAMP_DIGITS}.0f", stamp), (stamp * ${POOL_STRIDE}) % ${POOL_STARTS}
  stamp = stamp + 1
  local this = requests[at]
  local bytes, stamps, fractions = this.bytes, this.stamps, this.fractions
  for i = 0, this.count - 1 do
    ffi.copy(bytes + stamps[i], digits, ${STAMP_DIGITS})
    ffi.copy(bytes + fractions[i], pool + from + ${FRACTION_DIGITS} * i, ${FRACTION_DIGITS})
  end
  return ffi.string(bytes, this.length)
end

${WRK_DONE}`;

/** Writes what wrk needs into a directory; the function returned gives its arguments for a run that begins so. */
export function writeStampedFiles(
  directory: string,
  { bodies }: StampedWorkload,
  encoding: Encoding,
): (firstStamp: number) => WrkFiles {
  const script = join(directory, 'stamped-post.lua');
  writeFileSync(script, STAMPING_SCRIPT);
  const pool = join(directory, 'digits');
  writeFileSync(pool, DIGIT_POOL);
  const paths = bodies.map((metrics, index) => {
    const { template, stampsAt, fractionsAt } = encodeBody(metrics, encoding);
    const path = join(directory, `body-${index}`);
    writeFileSync(path, template);
    writeFileSync(
      `${path}.at`,
      stampsAt.reduce((text, at, k) => `${text}${at} ${fractionsAt[k]}\n`, ''),
    );
    return path;
  });
  return (firstStamp) => ({ script, args: [encoding.contentType, String(firstStamp), pool, ...paths] });
}
