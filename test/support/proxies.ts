/** nginx and HAProxy in front of a server, with the configurations that docs/behind-a-proxy.md shows. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../load-test/free-port.ts';
import { eventually } from './assertions.ts';
import { type Owner, onEnd } from './clean-up.ts';
import { ROOT } from './deploy-files.ts';
import { fetchOnce } from './raw-http.ts';
import { temporaryDirectory } from './server-process.ts';
import { PATH_WITH_SYSTEM, requireTool } from './tools.ts';

export type ProxyName = 'nginx' | 'haproxy';

export const PROXIES: readonly ProxyName[] = ['nginx', 'haproxy'];

const PAGE = 'docs/behind-a-proxy.md';
/** Ports in the document: of the server, and of each proxy. */
const SERVER_PORT = '127.0.0.1:8080';
const PROXY_PORT: Readonly<Record<ProxyName, string>> = {
  nginx: '127.0.0.1:8081',
  haproxy: '127.0.0.1:8082',
};

/** For node:test's `skip` option. */
export const skipReason = (name: ProxyName): string | false => requireTool(name);

function documented(name: ProxyName): string {
  const text = readFileSync(join(ROOT, PAGE), 'utf8');
  const [, block] = new RegExp(`\`\`\`${name}\\n([^]*?)\`\`\``).exec(text) ?? [];
  assert.ok(block !== undefined, `${PAGE} has no ${name} block`);
  return block;
}

function replaceOnce(text: string, from: string, to: string): string {
  assert.equal(text.split(from).length, 2, `${PAGE} names ${from} once per block`);
  return text.replace(from, to);
}

/** The block is a file for `http { … }`; the rest keeps nginx in one place and in the foreground. */
const nginxFile = (block: string, directory: string): string => `
daemon off;
pid ${directory}/pid;
error_log stderr;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
events { worker_connections 256; }
http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join('\n    ')}
${block}
}
`;

function commandOf(name: ProxyName, block: string, directory: string): readonly [string, readonly string[]] {
  const file = join(directory, `${name}.conf`);
  writeFileSync(file, name === 'nginx' ? nginxFile(block, directory) : block);
  return name === 'nginx'
    ? ['nginx', ['-c', file, '-p', directory, '-e', 'stderr']]
    : ['haproxy', ['-f', file, '-db']];
}

/**
 * Runs a proxy until the owner ends.
 * @param adapt changes the documented configuration, for tests of what it leaves out
 * @returns the port that it listens on
 */
export async function startProxy(
  owner: Owner,
  name: ProxyName,
  serverPort: number,
  adapt: (block: string) => string = (block) => block,
): Promise<number> {
  const port = await freePort();
  const block = replaceOnce(
    replaceOnce(adapt(documented(name)), SERVER_PORT, `127.0.0.1:${serverPort}`),
    PROXY_PORT[name],
    `127.0.0.1:${port}`,
  );
  const [program, args] = commandOf(name, block, temporaryDirectory(owner));
  const child = spawn(program, args, {
    env: { ...process.env, PATH: PATH_WITH_SYSTEM },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  onEnd(owner, async () => {
    if (child.exitCode !== null) return;
    child.kill(name === 'nginx' ? 'SIGQUIT' : 'SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  });
  await eventually(`${name} answers`, async () => {
    if (child.exitCode !== null) assert.fail(`${name} ended: ${output}`);
    return await fetchOnce(port, { path: '/health' }).then(
      () => true,
      () => false,
    );
  });
  return port;
}
