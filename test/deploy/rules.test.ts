/** The rules of deploy/prometheus, checked by promtool. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { deployPath, ROOT, readDeployed, runTool } from '../support/deploy-files.ts';
import { requireTool } from '../support/tools.ts';

const skip = requireTool('promtool', 'prometheus');
const rules = readDeployed('prometheus', 'alerts.yml');
const alerts = [...rules.matchAll(/^ +- alert: (\w+)$/gm)].map((match) => match[1] ?? '');

/** The text of one alert's rule. */
const ruleOf = (alert: string): string =>
  rules.split(/^ +- alert: /m).find((text) => text.startsWith(`${alert}\n`)) ?? '';

describe('the Prometheus configuration', { skip }, () => {
  it('is valid, and so are its rules', () => {
    const output = runTool('promtool', ['check', 'config', deployPath('prometheus', 'prometheus.yml')]);
    assert.match(output, /2 rule files found/);
  });

  it('passes the unit tests of its rules', () => {
    const output = runTool('promtool', ['test', 'rules', deployPath('prometheus', 'alerts.test.yml')]);
    assert.match(output, /SUCCESS/);
  });
});

describe('alerts', () => {
  it('are those that the documents list', () => {
    for (const alert of [
      'MetricsStreamErrors',
      'MetricsStreamSlow',
      'MetricsStreamQueueHalfFull',
      'MetricsStreamBreakerOpen',
      'MetricsStreamDiskFullSoon',
      'MetricsStreamAcknowledgedDataLost',
      'MetricsStreamDown',
    ]) {
      assert.ok(alerts.includes(alert), alert);
    }
  });

  for (const alert of alerts) {
    it(`${alert} has unit tests that it fires and that it does not`, () => {
      const tests = readDeployed('prometheus', 'alerts.test.yml').split(/^ {6}- expr: /m);
      const outcomes = tests
        .filter((text) => text.includes(`alertname="${alert}"`))
        .flatMap((text) => [...text.matchAll(/value: (\d+)/g)].map((match) => Number(match[1])));
      assert.ok(
        outcomes.some((firing) => firing > 0),
        'fires',
      );
      assert.ok(outcomes.includes(0), 'does not fire');
    });

    it(`${alert} has a severity, a summary, a remedy and a link`, () => {
      const rule = ruleOf(alert);
      assert.match(rule, /severity: (critical|warning|info)$/m);
      assert.match(rule, /^ +summary: \S/m);
      assert.match(rule, /^ +description: >-\n +\S/m);
      const [, path = '', anchor = ''] = /^ +runbook_url: (\S+)#(\S+)$/m.exec(rule) ?? [];
      assert.equal(anchor, alert.toLowerCase());
      const headings = readFileSync(join(ROOT, path), 'utf8').match(/^#+ .+$/gm) ?? [];
      assert.ok(headings.some((heading) => heading.replace(/^#+ /, '').toLowerCase() === anchor));
    });
  }
});
