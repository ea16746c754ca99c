import assert from 'node:assert/strict';
import { fetchOnce } from './raw-http.ts';

/** One scrape of a server, read as Prometheus reads it. */
export class Scrape {
  readonly text: string;

  private constructor(text: string) {
    this.text = text;
  }

  static async of(port: number): Promise<Scrape> {
    const { status, body } = await fetchOnce(port, { path: '/metrics' });
    assert.equal(status, 200);
    return new Scrape(body.toString());
  }

  /** The sum of a metric's samples whose labels contain `labels`. */
  sum(name: string, labels = ''): number {
    const lines = this.text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    assert.ok(lines.length > 0, `${name} is not in the exposition`);
    return lines
      .filter((line) => line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }
}
