/**
 * The address of a JetStream stream: `nats://[user:password@|token@]host[:port][,host[:port]…][/STREAM]`.
 *
 * `tls://` requires TLS. The WHATWG URL parser refuses a list of hosts, so this one reads the parts itself.
 */
import { MetricsStreamError } from '../base/errors.ts';

const DEFAULT_STREAM = 'METRICSSTREAM';
const DEFAULT_PORT = 4222;

export interface NatsAddress {
  /** `host:port` of each server. */
  readonly servers: readonly string[];
  readonly stream: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  readonly isTls: boolean;
  /** The address without secrets, for messages. */
  readonly text: string;
}

const ADDRESS = /^(nats|tls):\/\/(?:([^@/]*)@)?([^/?#@]+)(?:\/([^/?#]*))?$/;
const SERVER = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
/** Streams become directories and subjects, so the server refuses dots, spaces and wildcards. */
const STREAM = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * @param option named in errors
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function parseNatsAddress(text: string, option: string): NatsAddress {
  const match = ADDRESS.exec(text);
  if (match === null)
    throw invalid(option, 'give nats://host:4222/STREAM, with commas between several hosts');
  const [, scheme, login, hosts = '', stream = ''] = match;
  const servers = hosts.split(',').map((host) => serverOf(host, option));
  const name = stream === '' ? DEFAULT_STREAM : stream;
  if (!STREAM.test(name)) {
    throw invalid(option, `the stream "${name}" may have letters, digits, _ and -, at most 64`);
  }
  return {
    servers,
    stream: name,
    isTls: scheme === 'tls',
    text: `${scheme}://${servers.join(',')}/${name}`,
    ...loginOf(login, option),
  };
}

function serverOf(text: string, option: string): string {
  const [, host, port = String(DEFAULT_PORT)] = SERVER.exec(text) ?? [];
  const number = Number(port);
  if (host === undefined || number < 1 || number > 65_535) {
    throw invalid(option, `"${text}" is not host:port`);
  }
  return `${host}:${number}`;
}

function loginOf(login: string | undefined, option: string): Partial<NatsAddress> {
  if (login === undefined || login === '') return {};
  try {
    const [user = '', ...rest] = login.split(':').map(decodeURIComponent);
    return rest.length === 0 ? { token: user } : { user, password: rest.join(':') };
  } catch {
    throw invalid(option, 'write a % in the user, password or token as %25');
  }
}

function invalid(option: string, advice: string): MetricsStreamError {
  return new MetricsStreamError('CONFIG_INVALID', `${option}: ${advice}`);
}
