/**
 * Exits 0 if GET /health of the server in this container answers 200, else 1 with one line.
 *
 * The server publishes its address on an abstract Unix socket, so the check works however the server was configured:
 * by flag, variable or file, with any port, address or certificate.
 *
 * The argument is the longest wait for the address, and for the answer, in ms; 2000 without it.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import { connect } from 'node:net';

const timeoutMs = Number(process.argv[2] ?? 2_000);
/** Bytes of `sun_path`; names fill it with dots. */
const ADDRESS_BYTES = 108;

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Process ids of the servers in this process namespace. */
function findServers(prefix) {
  const pattern = new RegExp(`@${prefix}(\\d+)-\\.*@*$`, 'gm');
  return [...new Set([...read('/proc/net/unix').matchAll(pattern)].map((match) => match[1]))];
}

/** Variables of the server's kind, as one text. */
const ownVariables = (variables) =>
  variables
    .filter((variable) => variable.startsWith('METRICSSTREAM_'))
    .sort()
    .join('\n');

const variablesOf = (pid) => ownVariables(read(`/proc/${pid}/environ`).split('\0'));

/** Containers can share a process namespace; each has mounts of its own. */
function sharesMounts(pid) {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt');
  } catch {
    return false;
  }
}

/**
 * The servers of this container. Docker gives a check the variables of the container.
 *
 * - A server with the same variables is meant, whoever started it.
 * - A wrapper may have changed the variables of the server. Then process 1 has those of the check, as in any container,
 *   and every server in this container is meant. On a machine that runs other servers, process 1 has none of them.
 */
function choose(pids) {
  const own = ownVariables(Object.entries(process.env).map(([name, value]) => `${name}=${value}`));
  const same = pids.filter((pid) => variablesOf(pid) === own);
  if (same.length > 0) return same;
  if (pids.includes('1')) return ['1'];
  return own !== '' && variablesOf('1') === own ? pids.filter(sharesMounts) : [];
}

function receive(path) {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ path });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no address within ${timeoutMs} ms`)));
    socket.setEncoding('utf8').on('data', (part) => {
      text += part;
    });
    socket.on('error', reject);
    socket.on('end', () => resolve(text));
  });
}

/** Without a published address: what the environment says. */
function configuredAddress() {
  const { METRICSSTREAM_HOST: host, METRICSSTREAM_PORT: port, METRICSSTREAM_TLS_CERT: cert } = process.env;
  return { host: host || '127.0.0.1', port: Number(port) || 8080, tls: Boolean(cert) };
}

async function publishedAddresses() {
  const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  const prefix = `metricsstream-address-${namespace}-`;
  const paths = choose(findServers(prefix)).map((pid) => `\0${prefix}${pid}-`.padEnd(ADDRESS_BYTES, '.'));
  return Promise.all(paths.map(async (path) => JSON.parse(await receive(path))));
}

const LOOPBACK = { '0.0.0.0': '127.0.0.1', '::': '::1' };

function check({ host, port, tls }) {
  const get = tls ? getHttps : getHttp;
  const options = {
    host: LOOPBACK[host] ?? host,
    port,
    path: '/health',
    timeout: timeoutMs,
    // The check asks whether the server lives, not who it is: the certificate names the outside's host.
    rejectUnauthorized: false,
  };
  return new Promise((resolve, reject) => {
    const request = get(options, ({ statusCode }) => {
      if (statusCode === 200) resolve();
      else reject(new Error(`${host}:${port} answers ${statusCode}`));
    });
    request.on('timeout', () => {
      request.destroy(new Error(`${host}:${port} does not answer within ${timeoutMs} ms`));
    });
    request.on('error', reject);
  });
}

try {
  const published = await publishedAddresses();
  await Promise.all((published.length > 0 ? published : [configuredAddress()]).map(check));
  process.exit(0);
} catch (error) {
  console.error(`unhealthy: ${error.message}`);
  process.exit(1);
}
