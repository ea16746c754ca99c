/**
 * `learn branches`: writes `learning/phase-N` and `solution/phase-N` from a revision, without a checkout.
 *
 * On `learning/phase-N` the phases before N are solved, N and the later ones are open; on `solution/phase-N` N is solved too.
 * Files that earlier phases run as well stay solved until their own phase, so that those phases work.
 */
import { rmSync } from 'node:fs';
import { makeDirectories } from '../base/directories.ts';
import { PHASES } from '../phases.ts';
import { LEARN_PHASES, type LearnPhase } from './catalogue.ts';
import { fileAt, git, tryGit } from './git.ts';
import { openPlaces, render } from './markers.ts';
import { aligned, print } from './screen.ts';
import type { Workspace } from './workspace.ts';

const JOURNEY = 'docs/results/journey.md';
const TABLE = /<!-- journey:saturation -->\n\n(.*)\n(.*)\n([\s\S]*?)\n\n<!-- \/journey -->/;
const AUTHOR = {
  GIT_AUTHOR_NAME: 'MetricsStream',
  GIT_AUTHOR_EMAIL: 'learn@localhost',
  GIT_COMMITTER_NAME: 'MetricsStream',
  GIT_COMMITTER_EMAIL: 'learn@localhost',
};
const DIRECTORY_MODE = 0o755;

/** Phases whose steps change files, in the order in which they are learned. */
const BUILT = LEARN_PHASES.filter(({ files }) => files.length > 0);

export interface PhaseBranch {
  readonly name: string;
  readonly phase: LearnPhase;
  readonly isSolution: boolean;
}

export const PHASE_BRANCHES: readonly PhaseBranch[] = BUILT.flatMap((phase) => [
  { name: `learning/phase-${phase.number}`, phase, isSolution: false },
  { name: `solution/phase-${phase.number}`, phase, isSolution: true },
]);

/** Files with open places, by path, as the branch has them. */
export function openFiles(
  { phase, isSolution }: PhaseBranch,
  read: (path: string) => string,
): Map<string, string> {
  const first = BUILT.indexOf(phase) + (isSolution ? 1 : 0);
  const files = new Map<string, string>();
  for (const later of BUILT.slice(first)) {
    for (const file of later.files) {
      if (later !== phase && later.shared.includes(file)) continue;
      const isSolved = (step: string): boolean => !step.startsWith(`${later.number}.`);
      files.set(file, render(files.get(file) ?? read(file), isSolved, file));
    }
  }
  return files;
}

/** The list of open places, with links to their lines. */
function placesPage(name: string, files: ReadonlyMap<string, string>): string {
  const places = [...files].flatMap(([file, text]) => openPlaces(text).map((place) => ({ file, ...place })));
  places.sort((a, b) => a.step.localeCompare(b.step, 'en', { numeric: true }));
  const rows = places.map(
    ({ file, line, step, text }) => `| ${step} | [${file}:${line}](${file}#L${line}) | ${text} |`,
  );
  const head = `# Open places of ${name}\n\n\`npm run learn check\` tests them in this order: [docs/learn.md](docs/learn.md).\n`;
  if (rows.length === 0) return `${head}\nNone: every step is solved.\n`;
  return `${head}\n| step | place | what is missing |\n|---|---|---|\n${rows.join('\n')}\n`;
}

/** Figures of the phases before, and empty rows for the learner's own. */
function resultsPage({ phase, isSolution }: PhaseBranch, journey: string): string {
  const [, header = '', rule = '', body = ''] = TABLE.exec(journey) ?? [];
  const before = (row: string): boolean => {
    const number = Number(/^\| ([\d.]+),/.exec(row)?.[1]);
    return isSolution ? number <= Number(phase.number) : number < Number(phase.number);
  };
  const measured = body.split('\n').filter(before);
  const cells = ' |'.repeat(header.split('|').length - 3);
  const own = PHASES.filter((row) => LEARN_PHASES.some(({ number }) => number === String(row.number)))
    .filter((row) => row.number >= Number(phase.number))
    .map((row) => `| ${row.number}, ${row.name}, yours |${cells}`);
  const command = '`npm run journey -- --rounds 3 --seconds 2`';
  return [
    `# Performance results up to phase ${phase.number}`,
    '',
    `Measured with ${command}; docs/results/journey.md names the machine. Fill in your own rows.`,
    '',
    ...[header, rule, ...measured, ...own],
    '',
  ].join('\n');
}

/** The compiler accepts names that a stub does not use yet. */
function lenientConfig(config: string): string {
  return config.replace(/("noUnused(?:Locals|Parameters)": )true/g, '$1false');
}

/** Writes the tree of a branch. @returns its hash */
function writeTree(workspace: Workspace, branch: PhaseBranch, revision: string): string {
  const { root } = workspace;
  makeDirectories(workspace.directory, DIRECTORY_MODE);
  const env = { GIT_INDEX_FILE: workspace.inDirectory('branch-index') };
  const read = (path: string): string => fileAt(root, revision, path);
  const files = openFiles(branch, read);
  const pages = new Map([
    ['TO' + 'DOS.md', placesPage(branch.name, files)],
    ['performance_results.md', resultsPage(branch, read(JOURNEY))],
    ['tsconfig.json', lenientConfig(read('tsconfig.json'))],
  ]);
  git(root, ['read-tree', revision], { env });
  for (const [path, text] of [...files, ...pages]) {
    const blob = git(root, ['hash-object', '-w', '--stdin'], { input: text });
    git(root, ['update-index', '--add', '--cacheinfo', `100644,${blob},${path}`], { env });
  }
  const tree = git(root, ['write-tree'], { env });
  rmSync(env.GIT_INDEX_FILE, { force: true });
  return tree;
}

function commitTree(root: string, tree: string, revision: string, { name }: PhaseBranch): string {
  const date = git(root, ['log', '-1', '--format=%cI', revision]);
  const env = { ...AUTHOR, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date };
  return git(root, ['commit-tree', tree, '-p', revision, '-m', `Generate ${name}`], { env });
}

/** @param from the revision that has every phase solved @returns the exit code */
export function writeBranches(workspace: Workspace, from: string | null): number {
  const { root } = workspace;
  const revision = git(root, ['rev-parse', '--verify', `${from ?? workspace.state.base}^{commit}`]);
  const rows = PHASE_BRANCHES.map((branch) => {
    const tree = writeTree(workspace, branch, revision);
    const made = commitTree(root, tree, revision, branch);
    git(root, ['branch', '--force', branch.name, made]);
    if (branch.isSolution) git(root, ['tag', '--force', `phase-${branch.phase.number}`, made]);
    return [branch.name, tree, tryGit(root, ['diff', '--shortstat', revision, made]).text.trim()];
  });
  print(aligned([['branch', 'tree', 'against the base'], ...rows]));
  print(`tags ${BUILT.map(({ number }) => `phase-${number}`).join(', ')} name the solutions`);
  return 0;
}
