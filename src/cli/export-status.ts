/** `metricsstream export --status`: what the exporters of a data directory last knew. */

import { tableText } from '../base/table-text.ts';
import type { CursorFile } from '../storage/cursor-file.ts';

export function statusText(cursors: readonly CursorFile[], json: boolean): string {
  if (json) return `${JSON.stringify(cursors)}\n`;
  if (cursors.length === 0) return 'no exporter has run on this data directory\n';
  const heading = ['sink', 'state', 'commit', 'behind', 'lag', 'updated', 'place'];
  const rows = cursors.map(({ sink, state, commit, lagCommits, lagBytes, lagSeconds, updatedMs, place }) => [
    sink,
    state,
    String(commit),
    `${lagCommits} commits, ${lagBytes} bytes`,
    `${lagSeconds.toFixed(1)} s`,
    new Date(updatedMs).toISOString(),
    place,
  ]);
  const errors = cursors.filter(({ error }) => error !== '').map(({ sink, error }) => `${sink}: ${error}\n`);
  return tableText([heading, ...rows]) + errors.join('');
}
