/** One client: a socket that is opened when it is needed, one request at a time, and the framing of its answers. */
import { connect, type Socket } from 'node:net';
import { READ_ANSWER, READ_MALFORMED, ResponseReader } from './response-reader.ts';

export type Failure = 'timeout' | 'reset' | 'connect' | 'malformed';

/** The requests that a connection sends. */
export interface RequestSource {
  readonly bytes: Buffer;
  /** Makes it the request of this number. */
  patch(number: number, isSampled: boolean): void;
}

export interface ConnectionEvents {
  /** A whole answer; `reader` describes it until the next read. */
  answered(connection: Connection, reader: ResponseReader): void;
  failed(connection: Connection, failure: Failure): void;
}

export interface Target {
  readonly host: string;
  readonly port: number;
  /** False: a connection ends with its first answer, whatever the server says. */
  readonly keepAlive: boolean;
}

/** All connections of a thread read into it: what a read brings is consumed before the next one. */
const readBuffer = Buffer.allocUnsafe(64 << 10);

export class Connection {
  /** Number of this client in its thread. */
  readonly index: number;
  readonly template: RequestSource;
  /** May take the next request; kept by its owner. */
  isFree = true;
  /** A request is under way; what follows describes it. */
  isBusy = false;
  number = 0;
  intendedMs = 0;
  sentMs = 0;
  /** When its time is up. */
  deadlineMs = 0;
  /** How often it was sent again. */
  retries = 0;
  /** The outcome of the first try after which it may be stored; 0 if there was none. */
  doubt = 0;

  private readonly target: Target;
  private readonly events: ConnectionEvents;
  private readonly reader = new ResponseReader();
  private socket: Socket | null = null;
  private isConnected = false;

  constructor(index: number, template: RequestSource, target: Target, events: ConnectionEvents) {
    this.index = index;
    this.template = template;
    this.target = target;
    this.events = events;
  }

  /** Opens the connection ahead of the first request; resolves whether that worked. */
  open(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = this.connect();
      const timer = setTimeout(() => socket.destroy(), timeoutMs);
      const settle = (): void => {
        clearTimeout(timer);
        resolve(this.isConnected);
      };
      socket.once('connect', settle).once('close', settle);
    });
  }

  /** Sends the template as it is now. */
  send(): void {
    this.isBusy = true;
    if (this.socket === null) this.connect();
    else if (this.isConnected) this.write(this.socket);
  }

  /** Ends the request that is under way. */
  giveUp(): void {
    this.fail(this.isConnected ? 'timeout' : 'connect');
  }

  /** Without a word to its owner. */
  close(): void {
    const { socket } = this;
    this.socket = null;
    this.isConnected = false;
    socket?.destroy();
  }

  private connect(): Socket {
    this.reader.reset();
    const { host, port } = this.target;
    const socket: Socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (bytes) => {
          if (this.socket === socket) this.read(bytes);
          return true;
        },
      },
    });
    this.socket = socket;
    socket.once('connect', () => {
      if (this.socket !== socket) return;
      this.isConnected = true;
      if (this.isBusy) this.write(socket);
    });
    const ended = (): void => {
      if (this.socket === socket) this.ended();
    };
    // The code of an error matters less than when it came: 'close' follows.
    socket.on('error', () => {});
    socket.once('end', ended).once('close', ended);
    return socket;
  }

  private write(socket: Socket): void {
    const { bytes } = this.template;
    // An answer that came before its request was through left bytes that the template must not change under.
    socket.write(socket.writableLength > 0 ? Buffer.from(bytes) : bytes);
  }

  private read(bytes: number): void {
    const { reader } = this;
    if (!this.isBusy) {
      // An unrequested answer: the next request would mistake it for its own.
      this.close();
      return;
    }
    const result = reader.read(readBuffer, 0, bytes);
    if (result === READ_MALFORMED) this.fail('malformed');
    else if (result === READ_ANSWER) {
      // A second answer in the same piece belongs to no request.
      if (reader.next < bytes) this.fail('malformed');
      else this.complete();
    }
  }

  private complete(): void {
    if (this.reader.isLast || !this.target.keepAlive) this.close();
    this.isBusy = false;
    this.events.answered(this, this.reader);
  }

  private ended(): void {
    const wasConnected = this.isConnected;
    this.close();
    if (!this.isBusy) return;
    if (this.reader.close()) this.complete();
    else this.fail(wasConnected ? 'reset' : 'connect');
  }

  private fail(failure: Failure): void {
    this.close();
    this.isBusy = false;
    this.events.failed(this, failure);
  }
}
