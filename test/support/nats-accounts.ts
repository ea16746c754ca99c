/** Decentralised logins of NATS (operator, account, user), signed here as `nsc` signs them. */
import { randomUUID } from 'node:crypto';
import { nkeys } from '@nats-io/transport-node';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const HEADER = { typ: 'JWT', alg: 'ed25519-nkey' };
const UNLIMITED = {
  ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
  ...{ mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
};

function signed(issuer: KeyPair, subject: KeyPair, name: string, nats: object): string {
  const claims = {
    ...{ jti: randomUUID(), iat: Math.floor(Date.now() / 1_000), iss: issuer.getPublicKey() },
    ...{ sub: subject.getPublicKey(), name, nats: { version: 2, ...nats } },
  };
  const text = [HEADER, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString('base64url')}`;
}

export interface Accounts {
  /** For the configuration of the server. */
  readonly config: string;
  /** A credentials file of a new user. */
  credentials(): string;
}

/** An operator with an account for metrics, beside the one that JetStream needs for itself. */
export function createAccounts(): Accounts {
  const operator = nkeys.createOperator();
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()];
  const limits = { type: 'account', limits: UNLIMITED, default_permissions: { pub: {}, sub: {} } };
  const ofAccount = signed(operator, account, 'metrics', limits);
  const { mem_storage: _, disk_storage: __, ...withoutStorage } = UNLIMITED;
  const ofSystem = signed(operator, system, 'system', { ...limits, limits: withoutStorage });
  return {
    config:
      `operator: "${signed(operator, operator, 'operator', { type: 'operator' })}"\n` +
      `system_account: ${system.getPublicKey()}\nresolver: MEMORY\n` +
      `resolver_preload { ${account.getPublicKey()}: "${ofAccount}", ${system.getPublicKey()}: "${ofSystem}" }\n`,
    credentials: () => {
      const user = nkeys.createUser();
      const jwt = signed(account, user, 'shipper', {
        ...{ type: 'user', pub: {}, sub: {}, subs: -1, data: -1, payload: -1 },
      });
      return (
        `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${Buffer.from(user.getSeed())}\n------END USER NKEY SEED------\n`
      );
    },
  };
}
