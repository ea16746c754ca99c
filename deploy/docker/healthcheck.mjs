// Exits 0 when GET /health of the server in this container answers 200. It reads the server's own environment.
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';

const { METRICSSTREAM_HOST = '127.0.0.1', METRICSSTREAM_PORT = '8080', METRICSSTREAM_TLS_CERT } = process.env;
const everywhere = ['0.0.0.0', '::'].includes(METRICSSTREAM_HOST);
const options = {
  host: everywhere ? '127.0.0.1' : METRICSSTREAM_HOST,
  port: Number(METRICSSTREAM_PORT),
  path: '/health',
  timeout: 2_000,
  // The certificate names the host that clients use, not this loopback address. Here only liveness matters.
  rejectUnauthorized: false,
};
const get = METRICSSTREAM_TLS_CERT ? getHttps : getHttp;
const request = get(options, (response) => process.exit(response.statusCode === 200 ? 0 : 1));
request.on('timeout', () => request.destroy());
request.on('error', () => process.exit(1));
