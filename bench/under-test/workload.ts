/**
 * The bodies that wrk sends: metrics with two tags that become stored lines of about 117 bytes, no two neighbours alike
 * in name, value or tags. A fixed seed gives every server and every run the same bodies.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pick, sampleMetric, xorshift32 } from '../../load-test/generator/sample-metrics.ts';
import { digestOf } from '../workloads.ts';

export const BATCH_SIZES = [1, 100, 1_000] as const;

export interface WorkloadMetric {
  readonly name: string;
  readonly value: number;
  readonly type: string;
  readonly timestamp: number;
  readonly tags: Readonly<Record<string, string>>;
}

export interface Workload {
  /** Metrics in each body. */
  readonly batch: number;
  readonly bodies: readonly string[];
  /** Each metric as the line that a server stores, without a seal. */
  readonly lines: ReadonlySet<string>;
  readonly meanBodyBytes: number;
  /** Of all bodies, to tell whether two runs sent the same. */
  readonly digest: string;
}

const REGIONS = ['eu', 'us', 'ap'] as const;

function metricAt(index: number, random: () => number): WorkloadMetric {
  const { tags, ...metric } = sampleMetric(index, random);
  return { ...metric, tags: { ...tags, region: pick(REGIONS, index) } };
}

export function storedLine({ timestamp, name, value, type, tags }: WorkloadMetric): string {
  return JSON.stringify({ timestamp, name, value, type, tags });
}

/** Bodies of `batch` metrics; several, so that a server cannot profit from seeing one again and again. */
export function createWorkload(batch: number): Workload {
  const random = xorshift32();
  const lines = new Set<string>();
  const bodies: string[] = [];
  const bodyCount = batch === 1 ? 64 : 8;
  for (let body = 0; body < bodyCount; body++) {
    const metrics = Array.from({ length: batch }, (_, index) => metricAt(body * batch + index, random));
    for (const metric of metrics) lines.add(storedLine(metric));
    bodies.push(JSON.stringify({ metrics }));
  }
  const bytes = bodies.reduce((sum, body) => sum + Buffer.byteLength(body), 0);
  return {
    batch,
    bodies,
    lines,
    meanBodyBytes: bytes / bodies.length,
    digest: digestOf(...bodies),
  };
}

/** The end of wrk's scripts: prints its counts as one JSON line, the `WrkCounts`. */
export const WRK_DONE = `function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"responses":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f,"p999Ms":%.3f,"maxMs":%.3f,' ..
    '"clientCpuSeconds":%.6f,"refused":%d,"socketErrors":%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3,
    os.clock(), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
`;

/** Requests are made once, before the first is sent. */
const WRK_SCRIPT = `local requests, at = {}, 0

function init(bodyFiles)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i, path in ipairs(bodyFiles) do
    local file = assert(io.open(path, "rb"))
    requests[i] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

${WRK_DONE}`;

export interface WrkFiles {
  readonly script: string;
  /** Arguments of the script. */
  readonly args: readonly string[];
}

/** Writes the script and the bodies for wrk into a directory. */
export function writeWrkFiles(
  directory: string,
  { batch, bodies }: Pick<Workload, 'batch' | 'bodies'>,
): WrkFiles {
  const script = join(directory, 'post.lua');
  writeFileSync(script, WRK_SCRIPT);
  const files = bodies.map((body, index) => {
    const path = join(directory, `body-${batch}-${index}.json`);
    writeFileSync(path, body);
    return path;
  });
  return { script, args: files };
}
