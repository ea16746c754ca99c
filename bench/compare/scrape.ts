/** The counters that MetricsStream itself exposes, to be held against what wrk and the files say. */

export interface OwnCounts {
  readonly acceptedMetrics: number;
  /** Requests that wait for storage. */
  readonly queueDepth: number;
  /** Samples that tell why requests were refused, such as `metricsstream_requests_total{status="503"} 3`. */
  readonly refusals: readonly string[];
}

const REFUSAL = /^metricsstream_requests_(?:total\{status="[345]\d\d"\}|unavailable_total\{.*\}) [1-9]/;

/** Reads GET /metrics. Throws when it lacks one of the counters. */
export async function scrape(port: number): Promise<OwnCounts> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { accept: 'text/plain' } });
  const lines = (await response.text()).split('\n');
  const counter = (name: string): number => {
    const sample = lines.find((line) => line.startsWith(`${name} `));
    if (sample === undefined) throw new Error(`GET /metrics (${response.status}) has no ${name}`);
    return Number(sample.slice(name.length));
  };
  return {
    acceptedMetrics: counter('metricsstream_metrics_accepted_total'),
    queueDepth: counter('metricsstream_queue_depth'),
    refusals: lines.filter((line) => REFUSAL.test(line)),
  };
}
