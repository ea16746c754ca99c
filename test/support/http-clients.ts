/** Ordinary HTTP clients, each sending one large POST as it always does: some read no response before the end of it. */
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { requireTool } from './tools.ts';

interface LargePost {
  readonly url: string;
  readonly bytes: number;
  /** Chunked, instead of with a Content-Length. */
  readonly chunked: boolean;
}

/** The response as a client saw it. */
interface Seen {
  readonly status: number;
  readonly body: string;
}

export interface HttpClient {
  readonly name: string;
  /** For node:test's `skip` option. */
  readonly skip: string | false;
  /** @throws if the client saw no response */
  post(large: LargePost): Promise<Seen>;
}

const CHUNK_BYTES = 64 << 10;
const TYPE = 'application/json';

/** The body: spaces, as large as asked. */
function* chunksOf(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES), ' ');
}

const fetchClient: HttpClient = {
  name: 'fetch',
  skip: false,
  post: async ({ url, bytes, chunked }) => {
    const body = chunked ? ReadableStream.from(chunksOf(bytes)) : Buffer.alloc(bytes, ' ');
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': TYPE },
      body,
      duplex: 'half',
    } as RequestInit);
    return { status: response.status, body: await response.text() };
  },
};

const nodeClient: HttpClient = {
  name: 'http.request',
  skip: false,
  post: ({ url, bytes, chunked }) =>
    new Promise((resolve, reject) => {
      const length = chunked ? {} : { 'Content-Length': bytes };
      const post = request(
        url,
        { method: 'POST', headers: { 'Content-Type': TYPE, ...length } },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text: string) => {
            body += text;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
          response.on('error', reject);
        },
      );
      post.on('error', reject);
      const chunks = chunksOf(bytes);
      const more = () => {
        for (let next = chunks.next(); next.done !== true; next = chunks.next()) {
          if (!post.write(next.value)) return void post.once('drain', more);
        }
        post.end();
      };
      more();
    }),
};

/** Runs a program that writes the status in its first line and the body in the rest. */
function runClient(program: string, args: readonly string[], input?: number): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input === undefined ? '' : Buffer.alloc(input, ' '));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code !== 0) return reject(new Error(`${program} exited with ${code}: ${stderr}`));
      const [status = '', ...body] = stdout.split('\n');
      resolve({ status: Number(status), body: body.join('\n') });
    });
  });
}

const curlClient: HttpClient = {
  name: 'curl',
  skip: requireTool('curl'),
  post: ({ url, bytes, chunked }) => {
    const framing = chunked ? ['-H', 'Transfer-Encoding: chunked'] : [];
    // curl writes the status behind the body; awk brings it to the front.
    const command = `curl -sS -m 60 -w '\\n%{http_code}' "$@" | awk '{ line[NR] = $0 } END { print line[NR]; for (i = 1; i < NR; i++) print line[i] }'`;
    const args = ['-H', `Content-Type: ${TYPE}`, ...framing, '--data-binary', '@-', url];
    return runClient('bash', ['-o', 'pipefail', '-c', command, 'curl', ...args], bytes);
  },
};

const PYTHON = '/usr/bin/python3';

function pythonClient(name: string, module: string, post: string): HttpClient {
  const program = `
import sys
${module}
url, count, chunked = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'chunked'
def chunks():
    for start in range(0, count, ${CHUNK_BYTES}):
        yield b' ' * min(${CHUNK_BYTES}, count - start)
data = chunks() if chunked else b' ' * count
headers = {'Content-Type': '${TYPE}'}
${post}
`;
  return {
    name,
    skip: requireTool('python3'),
    post: ({ url, bytes, chunked }) =>
      runClient(PYTHON, ['-c', program, url, String(bytes), chunked ? 'chunked' : 'length']),
  };
}

const urllibClient = pythonClient(
  'urllib',
  'import urllib.request, urllib.error',
  `
try:
    response = urllib.request.urlopen(urllib.request.Request(url, data, headers, method='POST'), timeout=180)
except urllib.error.HTTPError as error:
    response = error
print(response.status)
print(response.read().decode())
`,
);

const requestsClient = pythonClient(
  'requests',
  'import requests',
  `
response = requests.post(url, data=data, headers=headers, timeout=180)
print(response.status_code)
print(response.text)
`,
);

export const CLIENTS: readonly HttpClient[] = [
  fetchClient,
  nodeClient,
  curlClient,
  urllibClient,
  requestsClient,
];
