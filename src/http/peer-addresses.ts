/**
 * The remote address of requests, read once for each connection where that suffices.
 *
 * uWebSockets.js gives a request nothing by which its connection could be recognised, and `getRemoteAddress` costs a
 * system call and an array buffer. While all open connections of this thread come from one address (one agent, or a
 * proxy), every request has that address. Otherwise each request asks for its own.
 *
 * The state is exact as long as each connection is reported when it opens and when it closes. If a build reported
 * less, `open` or `isMixed` would send requests the slow way.
 */
import { ClientKey } from '../base/client-key.ts';
import type { HttpResponse } from './uws.ts';

export class PeerAddresses {
  /** Open connections. */
  private open = 0;
  /** Of the connection that opened when no other was open. */
  private address: ClientKey | null = null;
  /** Since then, a connection from another address has opened. */
  private isMixed = false;

  /** For `App.filter`: a connection opened, if `change` is 1, or closed. */
  readonly changed = (response: HttpResponse, change: number): void => {
    if (change > 0) this.opened(response);
    // The address of a connection that has closed can no longer be read.
    else this.open--;
  };

  private opened(response: HttpResponse): void {
    const address = read(response);
    if (this.open <= 0) {
      this.address = new ClientKey(address);
      this.isMixed = false;
    } else if (this.address === null || Buffer.compare(address, this.address) !== 0) this.isMixed = true;
    this.open++;
  }

  /** Address of the connection of an open response: 4 or 16 bytes. The caller must not change them. */
  of(response: HttpResponse): Uint8Array {
    const { address } = this;
    return this.open <= 0 || this.isMixed || address === null ? read(response) : address;
  }
}

const read = (response: HttpResponse): Uint8Array => new Uint8Array(response.getRemoteAddress());
