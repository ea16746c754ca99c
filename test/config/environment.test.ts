import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dropForeignVariables, refuseUnknownVariables } from '../../src/config/environment.ts';

describe('variables that a platform injects', () => {
  const injected: Record<string, string> = {
    METRICSSTREAM_SERVICE_HOST: '10.96.12.34',
    METRICSSTREAM_SERVICE_PORT: '8080',
    METRICSSTREAM_SERVICE_PORT_HTTP: '8080',
    METRICSSTREAM_PORT: 'tcp://10.96.12.34:8080',
    METRICSSTREAM_PORT_8080_TCP: 'tcp://10.96.12.34:8080',
    METRICSSTREAM_PORT_8080_TCP_PROTO: 'tcp',
    METRICSSTREAM_PORT_8080_TCP_PORT: '8080',
    METRICSSTREAM_PORT_8080_TCP_ADDR: '10.96.12.34',
    METRICSSTREAM_PORT_53_UDP: 'udp://[fd00::1]:53',
    // Services `metricsstream-ingest` and `metricsstream-data-dir`.
    METRICSSTREAM_INGEST_SERVICE_HOST: '10.96.12.35',
    METRICSSTREAM_INGEST_PORT: 'tcp://10.96.12.35:8080',
    METRICSSTREAM_DATA_DIR_PORT_9090_SCTP_ADDR: '10.96.12.36',
    // A Docker link with this alias.
    METRICSSTREAM_NAME: '/web/metricsstream',
    METRICSSTREAM_ENV_NODE_VERSION: '20.20.2',
    METRICSSTREAM_PORT_8000_TCP_START: 'tcp://172.17.0.2:8000',
    METRICSSTREAM_PORT_8000_TCP_PORT_END: '8003',
  };

  it('are all ignored, and named', () => {
    const env: NodeJS.ProcessEnv = { ...injected, METRICSSTREAM_ACK: 'written', PATH: '/bin' };
    assert.deepEqual(dropForeignVariables(env), Object.keys(injected).sort());
    assert.deepEqual(env, { METRICSSTREAM_ACK: 'written', PATH: '/bin' });
  });

  it('do not hide options and mistakes with similar names', () => {
    const env: NodeJS.ProcessEnv = {
      METRICSSTREAM_PORT: '8080',
      METRICSSTREAM_PROT: 'tcp://10.0.0.1:1',
      METRICSSTREAM_NAME: 'web',
      METRICSSTREAM_SERVICE: 'x',
    };
    const before = { ...env };
    assert.deepEqual(dropForeignVariables(env), []);
    assert.deepEqual(env, before);
    assert.throws(() => refuseUnknownVariables(env), /METRICSSTREAM_PROT: unknown/);
  });
});

describe('line ends behind values', () => {
  it('are removed, as env files from Windows and secrets written with echo leave them', () => {
    const env: NodeJS.ProcessEnv = {
      METRICSSTREAM_DATA_DIR: '/data\r',
      METRICSSTREAM_TOKENS_FILE: '/run/secrets/tokens\n',
      METRICSSTREAM_HOST: '\r\n',
      METRICSSTREAM_PORT: 'tcp://10.0.0.1:1\r',
      OTHER: 'a\r',
    };
    assert.deepEqual(dropForeignVariables(env), ['METRICSSTREAM_PORT']);
    assert.deepEqual(env, {
      METRICSSTREAM_DATA_DIR: '/data',
      METRICSSTREAM_TOKENS_FILE: '/run/secrets/tokens',
      OTHER: 'a\r',
    });
  });
});

describe('empty variables', () => {
  it('count as unset, also with the quotes that an env file leaves', () => {
    const env: NodeJS.ProcessEnv = {
      METRICSSTREAM_TOKENS_FILE: '',
      METRICSSTREAM_CONFIG: '  ',
      METRICSSTREAM_HOST: '""',
      METRICSSTREAM_ANYTHING: "''",
      OTHER: '',
    };
    assert.deepEqual(dropForeignVariables(env), []);
    assert.deepEqual(env, { OTHER: '' });
  });
});
