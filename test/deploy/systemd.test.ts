/** The systemd unit, checked by systemd's own tools and against the system calls of the server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { OPTION_KEYS, type OptionKey, specOf } from '../../src/config/options.ts';
import { parseQuantity } from '../../src/config/units.ts';
import { assertAccepted } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { deployPath, ROOT, readDeployed, runTool } from '../support/deploy-files.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

/** Of 100: a network server that compiles JavaScript needs the rest. */
const EXPOSURE_MAX = 15;
const MS_PER_SECOND = 1e3;

const unit = readDeployed('systemd', 'metricsstream.service');
/** Values of a setting, in order. */
const settings = (name: string): string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1] ?? '');

/** A copy of a unit with the paths of this checkout. */
function installed(t: TestContext, name = 'metricsstream.service'): string {
  const path = join(temporaryDirectory(t), name);
  writeFileSync(
    path,
    readDeployed('systemd', name)
      .replaceAll('/usr/bin/node', process.execPath)
      .replaceAll('/opt/metricsstream/', ROOT),
  );
  return path;
}

describe('the unit', () => {
  const skip = requireTool('systemd-analyze', 'systemd');

  it('is valid', { skip }, (t) => {
    assert.equal(runTool('systemd-analyze', ['verify', '--man=no', installed(t)]).trim(), '');
  });

  it(`exposes at most ${EXPOSURE_MAX} of 100`, { skip }, (t) => {
    runTool('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`],
      installed(t),
    ]);
  });

  it('of the archiver is valid, as confined, and its timer starts it', { skip }, (t) => {
    const path = installed(t, 'metricsstream-archive.service');
    const timer = installed(t, 'metricsstream-archive.timer');
    assert.equal(runTool('systemd-analyze', ['verify', '--man=no', path]).trim(), '');
    assert.match(readFileSync(timer, 'utf8'), /^OnUnitInactiveSec=\d+min$/m);
    runTool('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`],
      path,
    ]);
  });

  it('of the exporter is valid, as confined, and stays down when fenced', { skip }, (t) => {
    const path = installed(t, 'metricsstream-export.service');
    assert.equal(runTool('systemd-analyze', ['verify', '--man=no', path]).trim(), '');
    const security = ['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`];
    runTool('systemd-analyze', [...security, path]);
    assert.match(readFileSync(path, 'utf8'), /^RestartPreventExitStatus=2 3$/m);
  });

  it('of the consumer is valid and as confined', { skip }, (t) => {
    const path = installed(t, 'metricsstream-consume.service');
    assert.equal(runTool('systemd-analyze', ['verify', '--man=no', path]).trim(), '');
    const security = ['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`];
    runTool('systemd-analyze', [...security, path]);
  });

  it('names a user that its sysusers file makes', () => {
    const users = readFileSync(deployPath('systemd', 'metricsstream.sysusers'), 'utf8');
    assert.match(users, new RegExp(`^u +${settings('User')[0]} `, 'm'));
  });

  it('stays down when the server refuses its configuration, which names options that exist', () => {
    assert.deepEqual(settings('RestartPreventExitStatus'), ['2']);
    // After a failed one systemd restarts the unit, whatever the exit code was.
    assert.deepEqual(settings('ExecStartPre'), []);
    for (const [, variable] of unit.matchAll(/^Environment=(METRICSSTREAM_\w+)=/gm)) {
      assert.ok(
        OPTION_KEYS.some((key) => specOf(key).variable === variable),
        variable,
      );
    }
  });

  it('waits longer for a stop than the server takes, including requests that time out', () => {
    const fallbackMs = (key: OptionKey) => Number(parseQuantity('duration', specOf(key).fallback ?? ''));
    const longestMs = fallbackMs('drainTimeoutMs') + fallbackMs('requestTimeoutMs');
    assert.ok(Number.parseInt(settings('TimeoutStopSec')[0] ?? '', 10) * MS_PER_SECOND > longestMs);
  });
});

/** Names of system calls in a set of systemd, including nested sets. */
function systemCalls(set: string): Set<string> {
  const names = new Set<string>();
  for (const line of runTool('systemd-analyze', ['syscall-filter', '--no-pager', set]).split('\n')) {
    const name = line.trim();
    if (name === set || name === '' || name.startsWith('#')) continue;
    if (name.startsWith('@')) for (const inner of systemCalls(name)) names.add(inner);
    else names.add(name);
  }
  return names;
}

/** System calls that the unit's filters allow. */
function allowedCalls(): Set<string> {
  const allowed = new Set<string>();
  for (const filter of settings('SystemCallFilter')) {
    for (const set of filter.replace(/^~/, '').split(' ')) {
      for (const name of systemCalls(set)) {
        if (filter.startsWith('~')) allowed.delete(name);
        else allowed.add(name);
      }
    }
  }
  return allowed;
}

describe('under the filter of the unit', () => {
  const skip = requireTool('systemd-analyze', 'systemd') || requireTool('strace');

  it('the server makes no system call that would be refused, from its start to its end', {
    skip,
  }, async (t) => {
    const allowed = allowedCalls();
    assert.ok(allowed.has('fdatasync') && !allowed.has('mount'));
    const refused = [...systemCalls('@known')].filter((name) => !allowed.has(name));
    const trace = join(temporaryDirectory(t), 'trace');
    const filter = ['--seccomp-bpf', '-e', `trace=${refused.map((name) => `?${name}`).join(',')}`];
    const probe = spawnSync('strace', ['-f', ...filter, '-e', 'signal=none', 'true'], { encoding: 'utf8' });
    assert.equal(probe.status, 0, probe.stderr);
    const server = await startServer(t, {
      wrapper: ['strace', '-f', '-o', trace, ...filter, '-e', 'signal=none'],
      args: ['--workers', '2', '--segment-bytes', '65536'],
    });
    for (let k = 0; k < 20; k++) {
      assertAccepted(
        await post(server.port, namesBody(...Array.from({ length: 50 }, () => uniqueName('s')))),
        50,
      );
    }
    assert.equal((await fetchOnce(server.port, { path: '/metrics' })).status, 200);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    const calls = readFileSync(trace, 'utf8').match(/(?<=^\d+ +)\w+(?=\()/gm) ?? [];
    assert.deepEqual([...new Set(calls)], []);
  });
});
