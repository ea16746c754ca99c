/** The compose file without a Docker engine: its structure, and each command and configuration file by the program itself. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { deployPath, ROOT, readDeployed, runTool } from '../support/deploy-files.ts';
import { runCli, temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
}

const { services, volumes } = parse(readDeployed('compose', 'compose.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};
const all = Object.entries(services);
const own = all.filter(([, { image }]) => image === 'metricsstream');
const serviceOf = (name: string): Service => services[name] ?? assert.fail(`no service ${name}`);

describe('the compose file', () => {
  it('has three NATS servers, two servers with their exporters, a consumer, PostgreSQL and Prometheus', () => {
    const names = Object.keys(services).sort();
    assert.deepEqual(names, [
      ...['consume', 'export-1', 'export-2', 'nats-1', 'nats-2', 'nats-3', 'postgres', 'prometheus'],
      ...['server-1', 'server-2', 'stream', 'tables'],
    ]);
  });

  it('refers to files, volumes and services that exist', () => {
    for (const [name, { volumes: mounts = [], depends_on: needs = [], build }] of all) {
      for (const mount of mounts) {
        const [source = ''] = mount.split(':');
        if (source.startsWith('.')) assert.ok(existsSync(deployPath('compose', source)), `${name}: ${mount}`);
        else assert.ok(source in volumes, `${name}: ${mount}`);
      }
      const needed: readonly string[] = Array.isArray(needs) ? needs : Object.keys(needs);
      for (const other of needed) assert.ok(other in services, `${name} needs ${other}`);
      if (build !== undefined) {
        assert.ok(existsSync(deployPath('compose', build.context, build.dockerfile)), build.dockerfile);
      }
    }
  });

  it('gives each exporter the volume of its server, and no two servers the same', () => {
    const logs = ['1', '2'].map((k) => {
      assert.deepEqual(serviceOf(`export-${k}`).volumes, serviceOf(`server-${k}`).volumes);
      return serviceOf(`server-${k}`).volumes?.[0];
    });
    assert.notEqual(logs[0], logs[1]);
  });

  it('names NATS servers that exist', () => {
    for (const [name, { command = [] }] of own) {
      for (const [, hosts = ''] of command.join(' ').matchAll(/nats:\/\/([^/ ]+)/g)) {
        for (const host of hosts.split(',')) assert.ok(host in services, `${name}: ${host}`);
      }
    }
  });

  for (const [name, { command = [] }] of own) {
    it(`gives ${name} a command that metricsstream accepts`, async (t) => {
      const unreachable = command.map((argument) =>
        argument.replace(/nats:\/\/[^/]+/, 'nats://127.0.0.1:1').replace(/@postgres\//, '@127.0.0.1:1/'),
      );
      const [subcommand, ...rest] = unreachable;
      const dataDir = temporaryDirectory(t);
      const args =
        subcommand === 'serve'
          ? ['config', '--check', ...rest]
          : subcommand === 'consume'
            ? [...unreachable, '--retry-quarantine']
            : unreachable;
      const { code, stderr } = await runCli(args, { env: { METRICSSTREAM_DATA_DIR: dataDir } });
      // 2 would be a wrong command line; without the other services, the others cannot succeed.
      assert.equal(code, subcommand === 'serve' ? 0 : 1, stderr);
      if (subcommand !== 'serve') assert.match(stderr, /cannot reach|no log\.json/);
    });
  }

  it('has a NATS configuration that nats-server accepts', { skip: requireTool('nats-server') }, () => {
    const env = ['env', 'NATS_NAME=nats-1', 'nats-server', '-t', '-c', deployPath('compose', 'nats.conf')];
    assert.match(runTool(env[0]!, env.slice(1)), /configuration file .* is valid/);
    for (const name of ['nats-1', 'nats-2', 'nats-3']) {
      assert.equal(serviceOf(name).environment?.NATS_NAME, name);
      assert.ok(readDeployed('compose', 'nats.conf').includes(`nats://${name}:6222`));
    }
  });

  it('has a Prometheus configuration that promtool accepts, with targets that exist', {
    skip: requireTool('promtool', 'prometheus'),
  }, (t) => {
    const text = readDeployed('compose', 'prometheus.yml');
    const path = join(temporaryDirectory(t), 'prometheus.yml');
    writeFileSync(path, text.replaceAll('/etc/prometheus/rules', join(ROOT, 'deploy/prometheus')));
    assert.match(runTool('promtool', ['check', 'config', path]), /2 rule files found/);
    const targets = [...text.matchAll(/'([\w-]+):\d+'/g)].map(([, host = '']) => host);
    assert.equal(targets.length, 5);
    for (const host of targets) assert.ok(host in services, host);
  });
});
