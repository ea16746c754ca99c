// Installs the Debian packages and the other versions of Node.js that some tests need, so that no test skips. Does nothing unless
// METRICSSTREAM_REQUIRE_TOOLS=1, where a failure ends the run, or CI=true, where the tests then skip with the reason.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE_OF = {
  chromium: 'chromium',
  curl: 'curl',
  faketime: 'faketime',
  git: 'git',
  haproxy: 'haproxy',
  jq: 'jq',
  'nats-server': 'nats-server',
  'mkfs.ext4': 'e2fsprogs',
  nginx: 'nginx',
  openssl: 'openssl',
  pg_createcluster: 'postgresql',
  pgbouncer: 'pgbouncer',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  python3: 'python3',
  strace: 'strace',
  'systemd-analyze': 'systemd',
  unshare: 'util-linux',
  script: 'bsdutils',
  wrk: 'wrk',
  xfs_io: 'xfsprogs',
};
/** Debian keeps these outside the PATH of ordinary users. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/sbin'];

const required = process.env.METRICSSTREAM_REQUIRE_TOOLS === '1';

function isInstalled(program) {
  return [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_DIRECTORIES].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian's own interpreter: its packages are invisible to another Python earlier on the PATH. */
const hasRequests = () => spawnSync('/usr/bin/python3', ['-c', 'import requests']).status === 0;

function missingPackages() {
  const missing = Object.entries(PACKAGE_OF)
    .filter(([program]) => !isInstalled(program))
    .map(([, name]) => name);
  return [...new Set(hasRequests() ? missing : [...missing, 'python3-requests'])];
}

function aptGet(...args) {
  const command = process.getuid() === 0 ? ['apt-get', ...args] : ['sudo', '-n', 'apt-get', ...args];
  const { status } = spawnSync(command[0], command.slice(1), {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

const missing = required || process.env.CI === 'true' ? missingPackages() : [];
if (missing.length > 0) {
  console.error(`Installing Debian packages for the tests: ${missing.join(' ')}`);
  const installed =
    aptGet('update', '-qq') && aptGet('install', '-y', '-qq', '--no-install-recommends', ...missing);
  if (!installed) {
    console.error(`Could not install them. As root, run: apt-get install ${missing.join(' ')}`);
    if (required) process.exit(1);
  }
}

if (required || process.env.CI === 'true') {
  const script = fileURLToPath(new URL('./test-node.mjs', import.meta.url));
  const { status } = spawnSync(process.execPath, [script, '--install-only'], { stdio: 'inherit' });
  if (status !== 0 && required) process.exit(1);
}
