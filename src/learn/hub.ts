/** `learn hub`: a local page with the map of the phases, a decision tree, and plots of the learner's runs. */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { readPageFile, readUplotFile } from '../live/page-files.ts';
import { LEARN_PHASES, stepsOf } from './catalogue.ts';
import { stateOfStep } from './overview.ts';
import { print } from './screen.ts';
import { SYMPTOMS } from './symptoms.ts';
import { Workspace } from './workspace.ts';

const HOST = '127.0.0.1';
/** Relative to the clone, because the compiler leaves these files where they are. */
const PAGE = new URL('../../../src/learn/page/', import.meta.url);
const own = (name: string): string => readFileSync(fileURLToPath(new URL(name, PAGE)), 'utf8');

const FILES: Readonly<Record<string, readonly [type: string, read: () => string]>> = {
  '/': ['text/html; charset=utf-8', () => own('index.html')],
  '/hub.js': ['text/javascript; charset=utf-8', () => own('hub.js')],
  '/hub.css': ['text/css; charset=utf-8', () => own('hub.css')],
  '/palette.css': ['text/css; charset=utf-8', () => readPageFile('palette.css')],
  '/uPlot.css': ['text/css; charset=utf-8', () => readUplotFile('uPlot.min.css')],
  '/uPlot.js': ['text/javascript; charset=utf-8', () => readUplotFile('uPlot.iife.min.js')],
};

/** The state of the page, read anew for each request: checks run in other processes. */
function progressOf(root: string): object {
  const workspace = new Workspace(root);
  return {
    current: workspace.state.phase,
    phases: LEARN_PHASES.map((phase) => {
      const { number, title, level } = phase;
      const steps = stepsOf(root, phase);
      return {
        number,
        title,
        level,
        steps: steps.map((step) => ({
          id: step.id,
          title: step.title,
          minutes: step.minutes,
          state: stateOfStep(workspace, steps, step),
        })),
      };
    }),
    symptoms: SYMPTOMS,
    runs: workspace.state.runs,
  };
}

function answer(root: string, method: string, path: string, response: ServerResponse): void {
  const file = FILES[path];
  if (method !== 'GET' || (file === undefined && path !== '/progress.json')) {
    response.writeHead(method === 'GET' ? 404 : 405).end();
    return;
  }
  try {
    const [type, text] =
      file === undefined ? ['application/json', JSON.stringify(progressOf(root))] : [file[0], file[1]()];
    response.writeHead(200, {
      'Content-Type': type,
      'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:",
    });
    response.end(text);
  } catch (error) {
    response.writeHead(500, { 'Content-Type': 'text/plain; charset=utf-8' }).end(systemErrorText(error));
  }
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `cannot listen on ${HOST}:${port}: ${systemErrorText(cause)}; choose another with --port`;
      reject(new MetricsStreamError('PORT_IN_USE', message));
    });
    server.listen(port, HOST, () => resolve((server.address() as AddressInfo).port));
  });
}

/** Serves the page until Ctrl-C. @returns the exit code */
export async function hub(workspace: Workspace, port: number): Promise<number> {
  const server = createServer(({ method = '', url = '' }, response) =>
    answer(workspace.root, method, url.replace(/\?.*/, ''), response),
  );
  const chosen = await listen(server, port);
  print(`the hub is at http://${HOST}:${chosen}/ ; Ctrl-C ends it`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  server.closeAllConnections();
  server.close();
  return 0;
}
