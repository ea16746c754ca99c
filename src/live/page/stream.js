/**
 * One connection to `GET /live`. fetch instead of EventSource: it reveals why a connection failed.
 *
 * @typedef {object} StreamListener
 * @property {(text: string) => void} onMessage JSON of an Opening or a Snapshot
 * @property {(problem: string) => void} onProblem why nothing arrives; the stream connects again by itself
 */

const SILENT_MS = 4000;
const DEAD_MS = 12000;
const RETRY_MS = 1000;
const RETRY_MAX_MS = 10000;
const CHECK_INTERVAL_MS = 1000;

/** A failed connection, with the reason for people. */
class StreamProblem extends Error {
  /** @param {string} message @param {number} retryMs */
  constructor(message, retryMs = RETRY_MS) {
    super(message);
    this.retryMs = retryMs;
  }
}

export class LiveStream {
  /** @param {StreamListener} listener */
  constructor(listener) {
    this.listener = listener;
    this.stopped = new AbortController();
    this.connection = new AbortController();
    /** Why the next messages may be late. */
    this.waitingFor = '';
    this.heardAt = performance.now();
    const check = setInterval(() => this.checkSilence(), CHECK_INTERVAL_MS);
    this.stopped.signal.addEventListener('abort', () => {
      clearInterval(check);
      this.connection.abort();
    });
    void this.run();
  }

  stop() {
    this.stopped.abort();
  }

  /** Connects until stopped. */
  async run() {
    while (!this.stopped.signal.aborted) {
      this.connection = new AbortController();
      this.heardAt = performance.now();
      this.waitingFor = 'The server has not answered yet.';
      try {
        await this.read(this.connection.signal);
      } catch (error) {
        if (this.stopped.signal.aborted) return;
        const problem = error instanceof StreamProblem ? error : new StreamProblem(String(error));
        // An aborted connection was silent for too long; checkSilence has said why.
        if (!this.connection.signal.aborted) this.listener.onProblem(problem.message);
        await new Promise((resolve) => setTimeout(resolve, problem.retryMs));
      }
    }
  }

  /** Reads one connection to its end. @param {AbortSignal} signal */
  async read(signal) {
    const response = await request(signal);
    const encoding = response.headers.get('Content-Encoding');
    this.waitingFor =
      encoding === null
        ? 'The connection is open, but nothing arrives. A proxy may hold the messages back: turn its buffering off for /live.'
        : `A proxy compresses the stream (${encoding}) and may hold the messages back: turn compression off for /live.`;
    let rest = '';
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const chunk = await reader?.read();
      if (chunk === undefined || chunk.done) throw new StreamProblem('The server closed the stream.');
      const events = (rest + chunk.value).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) this.receive(event);
    }
  }

  /** @param {string} event the lines of one server-sent event */
  receive(event) {
    if (this.stopped.signal.aborted) return;
    this.heardAt = performance.now();
    for (const line of event.split('\n')) {
      if (line.startsWith('data: ')) this.listener.onMessage(line.slice('data: '.length));
    }
  }

  checkSilence() {
    const silentMs = performance.now() - this.heardAt;
    if (silentMs < SILENT_MS) return;
    this.listener.onProblem(`No message for ${Math.floor(silentMs / 1000)} s. ${this.waitingFor}`);
    if (silentMs > DEAD_MS) this.connection.abort();
  }
}

/** @param {AbortSignal} signal @returns {Promise<Response>} a response that is an event stream */
async function request(signal) {
  let response;
  try {
    response = await fetch('live', { signal, cache: 'no-store', headers: { Accept: 'text/event-stream' } });
  } catch {
    throw new StreamProblem('The server cannot be reached.');
  }
  if (!response.ok) throw await refusal(response);
  const type = response.headers.get('Content-Type') ?? 'no content type';
  if (type.startsWith('text/event-stream')) return response;
  throw new StreamProblem(
    `The answer is ${type}, not an event stream: something in front of the server sent it.`,
  );
}

/** @param {Response} response */
async function refusal(response) {
  const retryMs = Math.min(RETRY_MAX_MS, RETRY_MS * (Number(response.headers.get('Retry-After')) || 1));
  /** @type {unknown} */
  let detail;
  try {
    detail = (await response.json()).detail;
  } catch {
    detail = 'It was sent by something in front of the server.';
  }
  return new StreamProblem(`The answer is ${response.status}. ${detail}`, retryMs);
}
