/**
 * Environment variables that are not options although they begin with `METRICSSTREAM_`.
 *
 * Platforms describe a service of this name in the environment of every container beside it:
 * - Kubernetes, for a Service `metricsstream` or `metricsstream-…`: `…_SERVICE_HOST`, `…_SERVICE_PORT`,
 *   `…_SERVICE_PORT_<name of the port>`, `…_PORT=tcp://…`, `…_PORT_8080_TCP` and that with `_PROTO`, `_PORT`, `_ADDR`
 *   (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)
 * - Docker links, with the alias as prefix: the same `…_PORT…`, ranges with `_START` and `_END`, `…_NAME=/…`, and
 *   `…_ENV_<any variable of the linked container>` (https://docs.docker.com/engine/network/links/)
 */
import { MetricsStreamError } from '../base/errors.ts';
import { OPTION_KEYS, specOf } from './options.ts';

const PREFIX = 'METRICSSTREAM_';
export const CONFIG_VARIABLE = `${PREFIX}CONFIG`;

const INJECTED_NAME =
  /^METRICSSTREAM_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR|START|END|PORT_START|PORT_END))?|ENV_\w+)$/;
const INJECTED_PORT = /^METRICSSTREAM_(?:\w+_)?PORT$/;
const PORT_VALUE = /^(?:tcp|udp|sctp):\/\//i;
const INJECTED_LINK = /^METRICSSTREAM_(?:\w+_)?NAME$/;
const LINK_VALUE = /^\/.*\//;

function isInjected(name: string, value: string): boolean {
  return (
    INJECTED_NAME.test(name) ||
    (INJECTED_PORT.test(name) && PORT_VALUE.test(value)) ||
    (INJECTED_LINK.test(name) && LINK_VALUE.test(value))
  );
}

/** `docker run --env-file` keeps quotes, so that `NAME=""` has a value of two characters. */
const EMPTY = /^\s*(?:""|'')?\s*$/;
/** Env files with Windows line ends leave `\r`, secrets that were written with `echo` leave `\n`. */
const LINE_END = /[\r\n]+$/;

/**
 * Deletes empty variables, which count as unset, and injected ones from `env`. Removes line ends behind values.
 * @returns the names of the injected ones, to be logged
 */
export function dropForeignVariables(env: NodeJS.ProcessEnv): string[] {
  const injected: string[] = [];
  for (const [name, value = ''] of Object.entries(env)) {
    if (!name.startsWith(PREFIX)) continue;
    const ofPlatform = isInjected(name, value);
    if (ofPlatform) injected.push(name);
    if (ofPlatform || EMPTY.test(value)) delete env[name];
    else if (LINE_END.test(value)) env[name] = value.replace(LINE_END, '');
  }
  return injected.sort();
}

/** One line for the log. */
export function ignoredText(injectedVariables: readonly string[]): string {
  return `ignored variables that the platform sets for a service of this name: ${injectedVariables.join(', ')}`;
}

/** Variables that are not options: the name of the configuration file, and those that only tests use. */
const OTHER_VARIABLES = new RegExp(`^(?:${CONFIG_VARIABLE}|${PREFIX}(?:TEST_.*|LONG|REQUIRE_TOOLS))$`);

/** @throws MetricsStreamError CONFIG_INVALID */
export function refuseUnknownVariables(env: NodeJS.ProcessEnv): void {
  const known = OPTION_KEYS.map((key) => specOf(key).variable);
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.includes(name) || OTHER_VARIABLES.test(name)) continue;
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `${name}: unknown environment variable; remove it, or correct it (metricsstream config lists all)`,
    );
  }
}
