/**
 * Appends one log's messages to the stream, in order and once.
 *
 * The stream owns the resume point: the headers of the last message of the log's subject. Each publish names that message's
 * sequence as the expected last one of the subject. The server stores it only if nobody has appended in between, so a
 * retry of a stored message fails instead of storing it twice, and a second exporter fails instead of interleaving.
 * One message per log is in flight: with the sequence as the fence, the next one is unknown before the acknowledgement.
 */
import { type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { MetricsStreamError } from '../base/errors.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsLink } from './connect.ts';
import { NatsErrorCode, natsCode } from './errors.ts';
import { type CommitMessage, decodeExtent, decodeSeal, type Extent, encodeHeaders } from './message.ts';
import { bodyMaxBytes, checkStream, subjectOf } from './stream.ts';

/** A late acknowledgement only costs the requests that read the resume point again. */
const ACK_TIMEOUT_MS = 5_000;
const API_TIMEOUT_MS = 5_000;

/** The stream no longer ends where this writer's last message ended; read the resume point again. */
export class StreamMoved extends Error {
  constructor(expected: number, found: number) {
    const reason = found <= expected ? 'the stream lost messages' : 'a message on its way was stored late';
    super(`${reason}: this log's last message was ${expected}, now it is ${found}`);
    this.name = 'StreamMoved';
  }
}

interface StoredLast {
  readonly sequence: number;
  readonly extent: Extent | null;
  /** As in its message. */
  readonly sealCrc32: number | null;
  readonly exporter: string;
  /** Unix ms by the clock of the server. */
  readonly storedAtMs: number;
}

const NOTHING: StoredLast = { sequence: 0, extent: null, sealCrc32: null, exporter: '', storedAtMs: 0 };

export class LogWriter {
  /** The last stored message of this log, or null before the first. */
  last: Extent | null = null;
  /** Of the last stored message. */
  sealCrc32: number | null = null;
  /** Of the last message found by `open`: the exporter that sent it, and for how long it was stored at least, in ms. */
  exporter = '';
  storedForMs = 0;
  /** Of one message. */
  bodyMaxBytes = 0;
  private readonly link: NatsLink;
  private readonly js: JetStreamClient;
  private readonly jsm: JetStreamManager;
  private readonly stream: string;
  private readonly log: string;
  /** Stream sequence of the log's last message; 0 before the first. */
  sequence = 0;
  private hasAppended = false;

  private constructor(link: NatsLink, jsm: JetStreamManager, stream: string, log: string) {
    this.link = link;
    this.jsm = jsm;
    this.js = jsm.jetstream();
    this.stream = stream;
    this.log = log;
  }

  /**
   * Checks the settings of stream and server, and reads the resume point.
   * @throws the client's errors; MetricsStreamError CONFIG_INVALID for settings that lose messages
   */
  static async open(link: NatsLink, stream: string, log: string): Promise<LogWriter> {
    const jsm = await jetstreamManager(link.connection, { checkAPI: false, timeout: API_TIMEOUT_MS });
    const info = await link.guard(() => jsm.streams.info(stream));
    checkStream(info);
    const writer = new LogWriter(link, jsm, stream, log);
    writer.bodyMaxBytes = bodyMaxBytes(info, link.connection.info?.max_payload ?? 0);
    const stored = await writer.readLast();
    writer.sequence = stored.sequence;
    writer.last = stored.extent;
    writer.sealCrc32 = stored.sealCrc32;
    writer.exporter = stored.exporter;
    // Both times are of the server's clock, which this machine's may be far from. Servers before 2.10 do not tell theirs.
    const ageMs = Date.parse(info.ts ?? '') - stored.storedAtMs;
    writer.storedForMs = ageMs > 0 ? ageMs : 0;
    return writer;
  }

  /**
   * Resolves once the stream has stored the message, on a majority of its replicas.
   * @throws SinkError fenced if another exporter has appended behind this one; StreamMoved; the client's errors, after which
   * the outcome is unknown: open a new writer
   */
  async append(message: CommitMessage): Promise<void> {
    const { sequence } = this;
    try {
      const ack = await this.link.guard(() =>
        this.js.publish(subjectOf(this.stream, this.log), message.body, {
          headers: encodeHeaders(message),
          expect: { streamName: this.stream, lastSubjectSequence: sequence },
          timeout: ACK_TIMEOUT_MS,
        }),
      );
      this.sequence = ack.seq;
      this.hasAppended = true;
      this.last = message;
      this.sealCrc32 = message.sealCrc32;
    } catch (error) {
      if (natsCode(error) !== NatsErrorCode.WRONG_LAST_SEQUENCE) throw error;
      const stored = await this.readLast();
      // A message whose acknowledgement did not come may be stored late, after the resume point was read again: this
      // exporter's own, or that of one which ended before. The resume point tells whose it is.
      if (stored.sequence <= sequence || stored.exporter === message.exporter || !this.hasAppended)
        throw new StreamMoved(sequence, stored.sequence);
      throw new SinkError(
        'fenced',
        `fenced: another exporter ships this log to ${this.stream}: it has stored commit ${stored.extent?.last}; stop one of the two`,
      );
    }
  }

  /**
   * Whether the log's last message is surely still this writer's. It asks for no message: they are large.
   * @throws the client's errors
   */
  async isAtEnd(): Promise<boolean> {
    const subject = subjectOf(this.stream, this.log);
    const { state } = await this.link.guard(() =>
      this.jsm.streams.info(this.stream, { subjects_filter: subject }),
    );
    const isThere = (state.subjects?.[subject] ?? 0) > 0;
    return isThere && state.first_seq <= this.sequence && this.sequence <= state.last_seq;
  }

  private async readLast(): Promise<StoredLast> {
    const message = await this.link.guard(() =>
      this.jsm.streams.getMessage(this.stream, { last_by_subj: subjectOf(this.stream, this.log) }),
    );
    if (message === null) return NOTHING;
    const { header, seq: sequence } = message;
    const extent = decodeExtent(header);
    if (typeof extent !== 'string') {
      const [sealCrc32, exporter] = [decodeSeal(header), header.get('Ms-Exporter')];
      return { sequence, extent, sealCrc32, exporter, storedAtMs: message.time.getTime() };
    }
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `message ${sequence} of ${this.stream} is not from export: ${extent}; delete it, or name another stream`,
    );
  }
}
