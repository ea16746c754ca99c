/** A real Prometheus on a loopback port, with its own storage directory. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../load-test/free-port.ts';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { fetchOnce } from './raw-http.ts';
import { temporaryDirectory } from './server-process.ts';

const START_TIMEOUT_MS = 180_000;

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Time in seconds, and the value as text: it may be NaN or +Inf. */
  readonly value: readonly [number, string];
}

export interface RuleState {
  readonly name: string;
  readonly type: 'alerting' | 'recording';
  readonly health: string;
  readonly lastError?: string;
  /** Alerting rules only: inactive, pending or firing. */
  readonly state?: string;
}

export class Prometheus {
  private readonly port: number;

  private constructor(port: number) {
    this.port = port;
  }

  /** Scrapes `targets` (host:port) once a second as job `metricsstream`, and evaluates `ruleFiles` as often. */
  static async start(
    owner: Owner,
    targets: readonly string[],
    ruleFiles: readonly string[],
  ): Promise<Prometheus> {
    const directory = temporaryDirectory(owner, 'metricsstream-prometheus-');
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ruleFiles,
      scrape_configs: [{ job_name: 'metricsstream', static_configs: [{ targets }] }],
    };
    // JSON is valid YAML.
    writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(config));
    const port = await freePort();
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    let ended = false;
    const exited = new Promise<void>((resolve) => {
      child.once('close', () => {
        ended = true;
        resolve();
      });
    });
    const killNow = () => child.kill('SIGKILL');
    process.once('exit', killNow);
    onEnd(owner, async () => {
      process.off('exit', killNow);
      killNow();
      await exited;
    });
    const isReady = async () => {
      assert.ok(!ended, `Prometheus ended:\n${log}`);
      try {
        return (await fetchOnce(port, { path: '/-/ready' })).status === 200;
      } catch {
        return false;
      }
    };
    await eventually('Prometheus is ready', isReady, START_TIMEOUT_MS);
    return new Prometheus(port);
  }

  /** The result of an instant query now. */
  async query(expression: string): Promise<readonly Series[]> {
    const { data } = await this.get<{ result: Series[] }>(`query?query=${encodeURIComponent(expression)}`);
    return data.result;
  }

  async rules(): Promise<readonly RuleState[]> {
    const { data } = await this.get<{ groups: { rules: RuleState[] }[] }>('rules');
    return data.groups.flatMap(({ rules }) => rules);
  }

  private async get<Data>(path: string): Promise<{ data: Data }> {
    const response = await fetchOnce(this.port, { path: `/api/v1/${path}` });
    assert.equal(response.status, 200, `${path}: ${response.body}`);
    return response.json() as { data: Data };
  }
}
