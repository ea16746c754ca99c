/** A stream that keeps everything written to it. */
import { Writable } from 'node:stream';

export class TextSink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
