/** Errors of NATS in one line each, with the cause and the remedy. */
import { JetStreamApiError } from '@nats-io/jetstream';
import {
  AuthorizationError,
  ClosedConnectionError,
  ConnectionError,
  NoRespondersError,
  PermissionViolationError,
  TimeoutError,
} from '@nats-io/transport-node';
import { certificateAdvice } from '../base/certificate-errors.ts';
import { MetricsStreamError } from '../base/errors.ts';
import type { NatsAddress } from './address.ts';

/** Error codes of the server's API (nats-server/server/errors.json). */
export const NatsErrorCode = {
  CONSUMER_NOT_FOUND: 10014,
  NOT_ENABLED_FOR_ACCOUNT: 10039,
  NOT_ENABLED: 10076,
  RESOURCES: 10023,
  NO_PEERS: 10005,
  UNAVAILABLE: 10008,
  STREAM_NOT_FOUND: 10059,
  SUBJECT_OVERLAP: 10065,
  WRONG_LAST_SEQUENCE: 10071,
  STREAM_FULL: 10077,
  STORAGE_LIMIT: 10028,
  STORAGE_RESOURCES: 10047,
} as const;

const AUTHORITY = 'with --nats-tls-ca';
const WITHOUT_TLS = "server does not support 'tls'";

/** The API code of an error of the server, or 0. */
export function natsCode(error: unknown): number {
  return error instanceof JetStreamApiError ? error.code : 0;
}

/**
 * Whether the operator must act before a retry can succeed. All others heal by themselves: no server, no leader, a full
 * stream.
 */
export function isPermanent(error: unknown): boolean {
  const code = natsCode(error);
  return (
    error instanceof MetricsStreamError ||
    error instanceof AuthorizationError ||
    causeOf(error, PermissionViolationError) !== null ||
    certificateAdvice(error, AUTHORITY) !== undefined ||
    (error as Error).message === WITHOUT_TLS ||
    code === NatsErrorCode.STREAM_NOT_FOUND ||
    code === NatsErrorCode.NOT_ENABLED_FOR_ACCOUNT
  );
}

/**
 * Whether the request may be served a few seconds later: it got no answer, or a cluster elects a leader. A single server
 * elects nobody.
 */
export function isUnanswered(error: unknown, isCluster: boolean): boolean {
  if (error instanceof TimeoutError) return true;
  return isCluster && (natsCode(error) === NatsErrorCode.UNAVAILABLE || isWithoutResponder(error));
}

/** One line: the cause, and the remedy where there is one. */
export function natsErrorText(error: unknown, address: NatsAddress): string {
  const { servers, stream, text } = address;
  const where = servers.join(', ');
  const denied = causeOf(error, PermissionViolationError);
  if (denied !== null) {
    return `NATS denies ${denied.operation === 'publish' ? 'publishing to' : 'subscribing to'} ${denied.subject}; grant it to the user, docs/nats.md lists the permissions`;
  }
  if (error instanceof AuthorizationError) {
    return `NATS at ${where} refuses the user, password or credentials; correct the address, --nats-creds or --nats-nkey`;
  }
  switch (natsCode(error)) {
    case NatsErrorCode.STREAM_NOT_FOUND:
      return `the stream ${stream} does not exist; create it: metricsstream export --to ${text} --init`;
    case NatsErrorCode.CONSUMER_NOT_FOUND:
      return `the consumer of the stream ${stream} is gone; consume makes it again`;
    case NatsErrorCode.STREAM_FULL:
      return `the stream ${stream} is full; start consumers, or raise its limit: metricsstream export --init --stream-max-bytes`;
    case NatsErrorCode.RESOURCES:
    case NatsErrorCode.STORAGE_LIMIT:
    case NatsErrorCode.STORAGE_RESOURCES:
      return `NATS at ${where} has no room for ${stream}; free disk space there, or lower --stream-max-bytes`;
    case NatsErrorCode.NO_PEERS:
      return `the cluster at ${where} has too few servers for the replicas of ${stream}; start them, or lower --stream-replicas`;
    case NatsErrorCode.SUBJECT_OVERLAP:
      return `another stream already stores ${stream.toLowerCase()}.*; name it in the address, or delete it`;
    case NatsErrorCode.NOT_ENABLED:
    case NatsErrorCode.NOT_ENABLED_FOR_ACCOUNT:
      return `JetStream is not enabled at ${where}; start nats-server with --jetstream`;
  }
  return tlsText(error, where) ?? transportText(error, where, address.isTls);
}

function tlsText(error: unknown, where: string): string | null {
  const { message } = error as Error;
  const advice = certificateAdvice(error, AUTHORITY);
  if (advice !== undefined)
    return `the certificate of NATS at ${where} is not accepted: ${message}; ${advice}`;
  if (message !== WITHOUT_TLS) return null;
  return `NATS at ${where} does not offer TLS; configure it there, or use nats:// without --nats-tls options`;
}

function transportText(error: unknown, where: string, isTls: boolean): string {
  if (isWithoutResponder(error)) {
    return `JetStream at ${where} does not answer: it is not enabled, or the stream has no leader now`;
  }
  if (error instanceof TimeoutError) {
    // A server that refuses a client certificate closes the connection, which the client does not report.
    const advice = isTls
      ? '; if it asks for a client certificate, check --nats-tls-cert and --nats-tls-key'
      : '';
    return `NATS at ${where} did not answer in time${advice}`;
  }
  if (error instanceof ClosedConnectionError) return `the connection to NATS at ${where} is closed`;
  const { message } = error as Error;
  const advice = '; start nats-server there, or correct the address';
  if (error instanceof ConnectionError || /getaddrinfo|ECONN|EHOST|ENET/.test(message)) {
    return `cannot reach NATS at ${where}: ${message}${advice}`;
  }
  return `NATS at ${where}: ${message}`.replaceAll(/\s*\n\s*/g, ' ');
}

/** The client names it "jetstream is not enabled", although an election looks the same. */
function isWithoutResponder(error: unknown): boolean {
  return causeOf(error, NoRespondersError) !== null || (error as Error).message === 'no responders';
}

/** The error or the first of its causes that is of this kind, or null. */
function causeOf<T extends Error>(error: unknown, kind: new (...args: never[]) => T): T | null {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof kind) return at;
  return null;
}
