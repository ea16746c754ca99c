/**
 * The formats that servers take metrics in. Numbers come as text, so that every server is sent the same digits.
 *
 * Sources: VictoriaMetrics' JSON lines (`/api/v1/import`), InfluxDB's line protocol reference, Prometheus' text
 * exposition format 0.0.4.
 */

/** A metric whose numbers are text already. */
export interface TextMetric {
  readonly name: string;
  readonly value: string;
  readonly type: string;
  /** Unix milliseconds. */
  readonly timestamp: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface Encoding {
  readonly title: string;
  readonly contentType: string;
  /** One request's body. @throws RangeError for a metric that the format cannot carry */
  encode(metrics: readonly TextMetric[]): string;
}

/** A batch as in MetricsStream's contract. */
export const METRICS_JSON: Encoding = {
  title: 'JSON',
  contentType: 'application/json',
  encode: (metrics) => {
    const items = metrics.map(
      ({ name, value, type, timestamp, tags }) =>
        `{"name":${JSON.stringify(name)},"value":${value},"type":${JSON.stringify(type)},` +
        `"timestamp":${timestamp},"tags":${JSON.stringify(tags)}}`,
    );
    return `{"metrics":[${items.join(',')}]}`;
  },
};

/** One series a line, here with one sample each. The format has no metric type. */
export const JSON_LINES: Encoding = {
  title: 'JSON lines',
  contentType: 'application/stream+json',
  encode: (metrics) =>
    metrics
      .map(({ name, value, timestamp, tags }) => {
        const labels = JSON.stringify({ __name__: name, ...tags });
        return `{"metric":${labels},"values":[${value}],"timestamps":[${timestamp}]}\n`;
      })
      .join(''),
};

/**
 * A backslash is literal in line protocol unless a special character follows it, and cannot be escaped itself; so a
 * name that has one there, or at its end, or a line break anywhere, cannot be written.
 */
function influxText(text: string, special: RegExp): string {
  if (text === '' || /[\r\n]/.test(text) || /\\(?:[,= ]|$)/.test(text)) {
    throw new RangeError(`line protocol cannot carry ${JSON.stringify(text)}`);
  }
  return text.replace(special, '\\$&');
}

/**
 * `name,tag=value value=1.5 timestamp`, to be sent with `precision=ms`. Tags are sorted, as InfluxDB advises, and
 * those without a value left out, since the protocol has no empty ones. It has no metric type either.
 */
export const INFLUX_LINES: Encoding = {
  title: 'Influx lines',
  contentType: 'text/plain; charset=utf-8',
  encode: (metrics) =>
    metrics
      .map(({ name, value, timestamp, tags }) => {
        // A line that begins with # is a comment.
        if (name.startsWith('#')) throw new RangeError(`line protocol cannot carry the name ${name}`);
        const pairs = Object.entries(tags)
          .filter(([, text]) => text !== '')
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, text]) => `,${influxText(key, /[,= ]/g)}=${influxText(text, /[,= ]/g)}`);
        return `${influxText(name, /[, ]/g)}${pairs.join('')} value=${value} ${timestamp}\n`;
      })
      .join(''),
};

/** Prometheus' names know no dot; exporters put an underscore in place of what is not allowed. */
export function prometheusName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_:]/g, '_').replace(/^\d/, '_$&');
}

function prometheusLabel([key, text]: readonly [string, string]): string {
  const name = prometheusName(key).replaceAll(':', '_');
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return `${name}="${escaped}"`;
}

/** `name{label="value"} 1.5 timestamp`, without the optional HELP and TYPE comments. */
export const PROMETHEUS_TEXT: Encoding = {
  title: 'Prometheus text',
  contentType: 'text/plain; version=0.0.4; charset=utf-8',
  encode: (metrics) =>
    metrics
      .map(({ name, value, timestamp, tags }) => {
        const labels = Object.entries(tags).map(prometheusLabel);
        const braces = labels.length > 0 ? `{${labels.join(',')}}` : '';
        return `${prometheusName(name)}${braces} ${value} ${timestamp}\n`;
      })
      .join(''),
};
