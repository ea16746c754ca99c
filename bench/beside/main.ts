/**
 * The cost of a running exporter for the server beside it: metrics per CPU second of the server alone, beside `export` to
 * PostgreSQL, and beside `export` to NATS.
 *
 *     npm run bench:beside -- --url postgres://user@host/empty_database
 */
import { readCursorFiles } from '../../src/storage/cursor-file.ts';
import { roundsOr } from '../harness/options.ts';
import { withNats } from '../nats/servers.ts';
import { withDatabase } from '../postgres/database.ts';
import { run } from '../under-test/command.ts';
import { compareBeside } from './turns.ts';

await withDatabase((url) =>
  withNats(1, async (nats) => {
    await run(['export', '--to', url, '--init']);
    await compareBeside({
      settings: [
        { name: 'alone', command: null },
        { name: 'beside export to PostgreSQL', command: ['export', '--to', url] },
        {
          name: 'the same, --priority normal',
          command: ['export', '--to', url, '--priority', 'normal'],
        },
        { name: 'beside export to NATS', command: ['export', '--to', nats.url] },
      ],
      rounds: roundsOr(6),
      seconds: 4,
      handled: async (dataDir) => (await readCursorFiles(dataDir))[0]?.metricsTotal ?? 0,
    });
  }),
);
