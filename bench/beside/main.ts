/**
 * The cost of a running exporter for the server beside it: metrics per CPU second of the server alone, beside `export` to
 * PostgreSQL, and beside `export` to NATS. Database and broker share the server's core, or run on the load's.
 *
 *     npm run bench:beside -- --url postgres://user@host/empty_database
 */
import { readCursorFiles } from '../../src/storage/cursor-file.ts';
import { roundsOr } from '../harness/options.ts';
import { withNats } from '../nats/servers.ts';
import { withDatabase } from '../postgres/database.ts';
import { run } from '../under-test/command.ts';
import { type Cores, pidsOf, place } from './place.ts';
import { compareBeside } from './turns.ts';

await withDatabase((url, client) =>
  withNats(1, async (nats) => {
    await run(['export', '--to', url, '--init']);
    const postgres = (cores: Cores) => async () => place(await pidsOf(client), cores);
    const broker = (cores: Cores) => () => place(nats.pids, cores);
    const toPostgres = ['export', '--to', url];
    const toNats = ['export', '--to', nats.url];
    await compareBeside({
      settings: [
        { name: 'alone', command: null },
        {
          name: 'export to PostgreSQL, which runs elsewhere',
          command: toPostgres,
          prepare: postgres('elsewhere'),
        },
        { name: 'export to PostgreSQL', command: toPostgres, prepare: postgres('both') },
        { name: 'the same, --priority normal', command: [...toPostgres, '--priority', 'normal'] },
        { name: 'export to NATS, which runs elsewhere', command: toNats, prepare: broker('elsewhere') },
        { name: 'export to NATS', command: toNats, prepare: broker('both') },
      ],
      rounds: roundsOr(6),
      seconds: 4,
      handled: async (dataDir) => (await readCursorFiles(dataDir))[0]?.metricsTotal ?? 0,
    });
  }),
);
