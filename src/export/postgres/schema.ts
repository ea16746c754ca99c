/**
 * The tables in PostgreSQL 14 or later; no extension.
 *
 * `series` keeps name, type and tags once for each series, and three numbers for each metric. `flat` keeps everything in
 * one table. The view `ms_metrics(time, name, type, tags, value)` reads the same over either.
 */
export type Layout = 'series' | 'flat';

export const LAYOUTS: readonly Layout[] = ['series', 'flat'];

/** Of the tables. A program works with exactly its own version. */
export const SCHEMA_VERSION = 3;

/** The partitioned table of the metrics. */
export function metricsTable(layout: Layout): string {
  return layout === 'series' ? 'ms_sample' : 'ms_flat';
}

const COMMON = `
-- One row: the version of these tables, and their layout.
CREATE TABLE ms_schema (
  version int NOT NULL,
  layout text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Metrics before this time were dropped by retention.
  dropped_before timestamptz NOT NULL DEFAULT '-infinity'
);

-- One row for each log: the last commit that these tables hold. Moved in the transaction that stores the metrics.
CREATE TABLE ms_cursor (
  log uuid PRIMARY KEY,
  commit int8 NOT NULL,
  segment int8 NOT NULL,
  writer text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  -- A commit and the CRC of its seal in the log. Proves the cursor while it names the same commit.
  seal text
);

-- One row for each range of commits that a transaction stored. Rows of a transaction have the same xmin, which leads from each
-- metric to its commits without a column for it.
CREATE TABLE ms_applied (
  log uuid NOT NULL,
  first_commit int8 NOT NULL,
  last_commit int8 NOT NULL,
  -- From 1 for a part of one large commit that came through a message bus, and the number of its parts; 0 for whole commits.
  part int NOT NULL DEFAULT 0,
  parts int NOT NULL DEFAULT 0,
  metrics int8 NOT NULL,
  -- Above 1: ranges older than --ledger-age that were merged into this row. It has none of their metrics' xmin.
  ranges int8 NOT NULL DEFAULT 1,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (log, first_commit, part)
);

-- Metrics that these tables cannot hold, and damaged commits of the log.
CREATE TABLE ms_quarantine (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  log uuid NOT NULL,
  first_commit int8 NOT NULL,
  last_commit int8 NOT NULL,
  -- Of the line in its commit, from 0; null for whole commits.
  line int,
  reason text NOT NULL,
  -- The line as the log holds it.
  body bytea,
  at timestamptz NOT NULL DEFAULT now()
);
`;

const SERIES = `
-- One row for each series. The fingerprint is a hash of name, type and tags.
CREATE TABLE ms_series (
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fingerprint bytea NOT NULL UNIQUE,
  name text NOT NULL,
  type text NOT NULL,
  tags jsonb NOT NULL
);
CREATE INDEX ms_series_name ON ms_series (name);
CREATE INDEX ms_series_tags ON ms_series USING gin (tags jsonb_path_ops);

-- One row for each metric, in daily partitions. The index costs almost nothing, since metrics arrive in order of time.
CREATE TABLE ms_sample (
  time timestamptz NOT NULL,
  series_id int8 NOT NULL,
  value float8 NOT NULL
) PARTITION BY RANGE (time);
CREATE INDEX ms_sample_time ON ms_sample USING brin (time);
CREATE TABLE ms_sample_default PARTITION OF ms_sample DEFAULT;

CREATE VIEW ms_metrics AS
  SELECT m.time, s.name, s.type, s.tags, m.value
  FROM ms_sample m JOIN ms_series s ON s.id = m.series_id;
`;

const FLAT = `
-- One row for each metric, in daily partitions. The index costs almost nothing, since metrics arrive in order of time.
CREATE TABLE ms_flat (
  time timestamptz NOT NULL,
  value float8 NOT NULL,
  name text NOT NULL,
  type text NOT NULL,
  tags jsonb NOT NULL
) PARTITION BY RANGE (time);
CREATE INDEX ms_flat_time ON ms_flat USING brin (time);
CREATE TABLE ms_flat_default PARTITION OF ms_flat DEFAULT;

CREATE VIEW ms_metrics AS SELECT time, name, type, tags, value FROM ms_flat;
`;

/** The statements that lead from each version to the next one, from version 1 on. */
export const UPGRADES: readonly string[] = [
  `ALTER TABLE ms_applied ADD COLUMN parts int NOT NULL DEFAULT 0, ADD COLUMN ranges int8 NOT NULL DEFAULT 1;`,
  // `consume` of version 2 moved the commit and left the segment.
  `ALTER TABLE ms_cursor ADD COLUMN seal text;
   UPDATE ms_cursor SET segment = 0 WHERE writer = 'consume';`,
];

/** The statements that create the tables, for people and for `--init`. */
export function schemaText(layout: Layout): string {
  const version = `INSERT INTO ms_schema (version, layout) VALUES (${SCHEMA_VERSION}, '${layout}');\n`;
  return `-- Tables of metricsstream, version ${SCHEMA_VERSION}, layout ${layout}.\n${COMMON}${layout === 'series' ? SERIES : FLAT}\n${version}`;
}
