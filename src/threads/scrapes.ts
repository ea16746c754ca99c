/**
 * The scrapes of one ingest thread: main renders GET /metrics, and each answer serves all scrapes that asked for its form
 * before main was asked. So any number of scrapes at once holds two pages of each form.
 */
import { type MetricsForm, negotiate } from '../exposition/negotiate.ts';
import type { Page } from '../http/response.ts';

type Served = (page: Page) => void;

interface Queue {
  /** Get the page that main is rendering. */
  asked: Served[];
  /** Came later: that page may lack what happened before they came. */
  waiting: Served[];
}

export class Scrapes {
  private readonly ask: (form: MetricsForm) => void;
  private readonly queues = new Map<MetricsForm, Queue>();

  /** @param ask asks main for a page, which `rendered` gets */
  constructor(ask: (form: MetricsForm) => void) {
    this.ask = ask;
  }

  /** @param accept the request's Accept header */
  page(accept: string): Promise<Page> {
    const form = negotiate(accept);
    let queue = this.queues.get(form);
    if (queue === undefined) {
      queue = { asked: [], waiting: [] };
      this.queues.set(form, queue);
    }
    const { waiting } = queue;
    const promise = new Promise<Page>((resolve) => waiting.push(resolve));
    if (queue.asked.length === 0) this.askFor(form, queue);
    return promise;
  }

  rendered(form: MetricsForm, page: Page): void {
    const queue = this.queues.get(form)!;
    for (const serve of queue.asked) serve(page);
    queue.asked = [];
    if (queue.waiting.length > 0) this.askFor(form, queue);
  }

  private askFor(form: MetricsForm, queue: Queue): void {
    queue.asked = queue.waiting;
    queue.waiting = [];
    this.ask(form);
  }
}
