/**
 * One stream for all tabs of a browser. Browsers open six connections to a server at most, and a stream holds one for
 * ever: with a stream in each tab the seventh tab would never load.
 *
 * The visible tabs elect a leader over a BroadcastChannel. The leader reads the stream and passes each message on.
 * A tab that becomes visible asks for a leader and leads if none answers. A tab that is hidden or closed resigns. If two
 * tabs lead, the one with the greater id resigns. If the leader falls silent, another tab leads.
 */
import { LiveStream } from './stream.js';

/** @typedef {import('../messages.ts').Opening} Opening */

/**
 * @typedef {{ kind: 'join', from: string }
 *   | { kind: 'leading', from: string, problem: string | null }
 *   | { kind: 'message', from: string, text: string }
 *   | { kind: 'opening', from: string, to: string, opening: Opening }
 *   | { kind: 'resigned', from: string }} TabMessage
 *
 * @typedef {object} FeedListener
 * @property {(text: string) => void} onMessage JSON of an Opening or a Snapshot
 * @property {(opening: Opening) => void} onOpening everything the leader knows
 * @property {(problem: string) => void} onProblem
 * @property {() => Opening | null} opening everything this tab knows
 */

/** The wait for a leader's answer, before a tab leads: differs, so that tabs opened together do not all lead. */
const JOIN_MS = 150;
const JOIN_SPREAD_MS = 250;
const HEARTBEAT_MS = 1000;
/** A leader that is silent for this long is gone. */
const LEADER_SILENT_MS = 3500;

export class SharedFeed {
  /** @param {FeedListener} listener */
  constructor(listener) {
    this.listener = listener;
    this.id = `${performance.timeOrigin}-${Math.random()}`;
    // Servers behind one proxy differ by path only.
    this.channel = new BroadcastChannel(`metricsstream ${new URL('live', location.href).pathname}`);
    /** @type {LiveStream | null} */
    this.stream = null;
    /** @type {string | null} */
    this.problem = null;
    this.visible = false;
    this.leaderHeardAt = 0;
    this.joinTimer = 0;
    this.channel.onmessage = ({ data }) => this.receive(data);
    setInterval(() => this.beat(), HEARTBEAT_MS);
    document.addEventListener('visibilitychange', () => this.follow(!document.hidden));
    addEventListener('pagehide', () => this.follow(false));
    addEventListener('pageshow', () => this.follow(!document.hidden));
    this.follow(!document.hidden);
  }

  /** Joins the visible tabs, or leaves them. @param {boolean} visible */
  follow(visible) {
    if (visible === this.visible) return;
    this.visible = visible;
    if (visible) this.join();
    else this.leave();
  }

  join() {
    this.leaderHeardAt = performance.now();
    this.post({ kind: 'join', from: this.id });
    clearTimeout(this.joinTimer);
    this.joinTimer = setTimeout(() => this.lead(), JOIN_MS + Math.random() * JOIN_SPREAD_MS);
  }

  leave() {
    clearTimeout(this.joinTimer);
    if (this.stream === null) return;
    this.resign();
    this.post({ kind: 'resigned', from: this.id });
  }

  lead() {
    if (!this.visible || this.stream !== null) return;
    this.problem = null;
    this.stream = new LiveStream({
      onMessage: (text) => {
        this.problem = null;
        this.post({ kind: 'message', from: this.id, text });
        this.listener.onMessage(text);
      },
      onProblem: (problem) => {
        this.problem = problem;
        this.beat();
        this.listener.onProblem(problem);
      },
    });
    this.beat();
  }

  resign() {
    this.stream?.stop();
    this.stream = null;
  }

  beat() {
    if (this.stream !== null) this.post({ kind: 'leading', from: this.id, problem: this.problem });
    else if (this.visible && performance.now() - this.leaderHeardAt > LEADER_SILENT_MS) this.join();
  }

  /** @param {TabMessage} message */
  receive(message) {
    if (!this.visible) return;
    if (message.kind === 'join') this.answerJoin(message.from);
    else if (message.kind === 'resigned') this.join();
    else if (this.acceptsLeader(message.from)) this.apply(message);
  }

  /** @param {string} from */
  answerJoin(from) {
    if (this.stream === null) return;
    this.beat();
    const opening = this.listener.opening();
    if (opening !== null) this.post({ kind: 'opening', from: this.id, to: from, opening });
  }

  /** Decides between this tab and another one that leads. @param {string} other */
  acceptsLeader(other) {
    if (this.stream !== null && other > this.id) return false;
    this.resign();
    clearTimeout(this.joinTimer);
    this.leaderHeardAt = performance.now();
    return true;
  }

  /** @param {Exclude<TabMessage, { kind: 'join' | 'resigned' }>} message */
  apply(message) {
    if (message.kind === 'message') this.listener.onMessage(message.text);
    else if (message.kind === 'opening' && message.to === this.id) this.listener.onOpening(message.opening);
    else if (message.kind === 'leading' && message.problem !== null) this.listener.onProblem(message.problem);
  }

  /** @param {TabMessage} message */
  post(message) {
    this.channel.postMessage(message);
  }
}
