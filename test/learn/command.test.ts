/** `metricsstream learn` in a fresh clone, as a learner or a script runs it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { suiteOwner } from '../support/clean-up.ts';
import { requireTool } from '../support/tools.ts';
import { Clone } from './clone.ts';

const FILE = 'src/telemetry/ring-buffer.ts';

describe('learn in a fresh clone', { skip: requireTool('git') }, () => {
  const owner = suiteOwner();
  const clone = new Clone(owner);
  const path = join(clone.root, FILE);
  const original = readFileSync(path, 'utf8');
  const passed = (): string[] => {
    const rows = JSON.parse(clone.learn('list', '--json').text) as { step: string; state: string }[];
    return rows.filter(({ state }) => state === 'given' || state === 'passed').map(({ step }) => step);
  };

  it('lists the steps for people and for scripts', () => {
    const { code, text } = clone.learn('list');
    assert.equal(code, 0);
    assert.match(text, /^5 ring telemetry +advanced +○{8} /m);
    const rows = JSON.parse(clone.learn('list', '--json').text) as Record<string, unknown>[];
    const first = rows.find(({ step }) => step === '5.1');
    assert.deepEqual(first, { phase: 5, step: '5.1', title: 'layout', state: 'open', minutes: 25 });
  });

  it('refuses wrong command lines with 2, and a check before the start with 1', () => {
    for (const [args, message] of [
      [['start', '99'], /"99" is not a phase with steps; choose one of 0, 1, 2/],
      [['start', '5.99'], /"5\.99" is not a step; choose one of 5\.1, 5\.2/],
      [['hint', 'x'], /"x" is not a step; learn list --json prints all steps/],
      [['answer', '99', '1'], /"99" is not a phase; choose one of 0, 1, 2/],
      [['wrong'], /./],
      [['check', '--guess', 'x'], /./],
    ] as const) {
      const { code, errorText } = clone.learn(...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(errorText, /^metricsstream: .+\n$/);
      assert.match(errorText, message);
    }
    const { code, errorText } = clone.learn('check', '--once');
    assert.equal(code, 1);
    assert.match(errorText, /no phase is started: run learn start 0/);
  });

  it('does not start over changes that are not committed', () => {
    writeFileSync(path, `${original}// mine\n`);
    const { code, errorText } = clone.learn('start', '5');
    assert.equal(code, 1);
    assert.match(
      errorText,
      /changes are not committed \(src\/telemetry\/ring-buffer\.ts\): commit them, or run git stash/,
    );
    writeFileSync(path, original);
  });

  it('refuses a base that does not compile, each time', () => {
    writeFileSync(path, `${original}export const wrong: number = 'text';\n`);
    clone.commit('Break the base');
    for (let time = 1; time <= 2; time++) {
      const { code, errorText } = clone.learn('start', '5');
      assert.equal(code, 1);
      assert.match(errorText, /main does not compile: src\/telemetry\/ring-buffer\.ts:\d+: /);
    }
    clone.git('reset', '--quiet', '--hard', 'HEAD~1');
  });

  it('starts on a branch of its own and leaves main alone', () => {
    const { code, text, errorText } = clone.learn('start', '5');
    assert.equal(code, 0, errorText);
    assert.match(text, /branch my\/phase-5: src\/telemetry\/ring-buffer\.ts, \d+ places/);
    assert.equal(clone.git('branch', '--show-current'), 'my/phase-5');
    assert.equal(clone.git('show', `main:${FILE}`), original.trim());
    assert.equal(clone.git('status', '--porcelain'), '');
  });

  it('checks, and says in sentences what is missing and where', () => {
    const { code, text } = clone.learn('check', '--once');
    assert.equal(code, 1);
    assert.match(text, /^5\.1 layout ✗$/m);
    assert.match(text, /expected: 3 header lines and 8,192 records/);
    assert.match(text, /got: 192/);
    const [, line] = /where: src\/telemetry\/ring-buffer\.ts:(\d+)/.exec(text) ?? [];
    assert.match(readFileSync(path, 'utf8').split('\n')[Number(line) - 1]!, /5\.1/);
    assert.doesNotMatch(text, /\u001b|at Test|node:internal/);
  });

  it('shows the text of the next step, or of another', () => {
    assert.match(clone.learn('show').text, /^5\.1 layout {2}about 25 minutes\n {2}The ring is one Shared/);
    assert.match(clone.learn('show', '3.2').text, /^3\.2 any key /);
  });

  it('gives one more hint each time', () => {
    assert.match(clone.learn('hint').text, /hint 1 of 3/);
    const { text } = clone.learn('hint');
    assert.match(text, /hint 1 of 3[\s\S]*hint 2 of 3/);
    assert.match(clone.learn('hint', '5.4').text, /5\.4 full, hint 1 of 3/);
  });

  it('passes a step that the learner wrote, with a commit', () => {
    const mine = readFileSync(path, 'utf8')
      .replace('const CONSUMED_I32 = 1;', 'const CONSUMED_I32 = LINE_I32;')
      .replace('(HEADER_LINES * LINE_BYTES)', '((HEADER_LINES + EVENT_RING_RECORDS) * LINE_BYTES)');
    writeFileSync(path, mine);
    const { code, text } = clone.learn('check', '--once');
    assert.equal(code, 1);
    assert.match(text, /^5\.1 layout ok$/m);
    assert.match(text, /^5\.2 one record {2}about 20 minutes\n {2}A record is one line/m);
    assert.match(text, /^5\.2 one record ✗$/m);
    assert.equal(clone.git('log', '-1', '--format=%s'), '5.1 layout');
    assert.deepEqual(passed(), ['5.1']);
  });

  it('shows one error of the compiler, by file and line', () => {
    const before = readFileSync(path, 'utf8');
    writeFileSync(path, `${before}const wrong: number = 'text';\n`);
    const { code, text } = clone.learn('check', '--once');
    assert.equal(code, 1);
    assert.match(
      text,
      /does not compile: src\/telemetry\/ring-buffer\.ts:\d+\n +compiler: Type 'string' is not/,
    );
    writeFileSync(path, before);
  });

  it('shows a solution only after it passed, or with --yes, and keeps what was there', () => {
    const { code, errorText } = clone.learn('solution', '5.2');
    assert.equal(code, 1);
    assert.match(errorText, /5\.2 has not passed yet: learn hint 5\.2 helps/);
    writeFileSync(path, readFileSync(path, 'utf8').replace('// TO' + 'DO 5.2', '// my try at 5.2'));
    assert.equal(clone.learn('solution', '5.2', '--yes').code, 0);
    assert.match(
      clone.git('log', '-2', '-p', '--format=%s'),
      /Mine before the solution of 5\.2[\s\S]*my try at 5\.2/,
    );
    assert.match(clone.learn('check', '--once').text, /5\.1 layout ok {3}5\.2 one record ok\n5\.3 wrap ✗/);
  });

  it('watches: checks at each save until all steps pass', async () => {
    const watching = clone.follow(owner, 'check');
    await watching.next('waiting for the next save');
    writeFileSync(path, original);
    const text = await watching.next('all 8 steps of phase 5 pass.');
    assert.doesNotMatch(text, /✗/);
    assert.equal(await watching.exited, 0);
    assert.equal(clone.git('log', '-1', '--format=%s'), '5.8 for good');
    assert.match(clone.learn('progress').text, /^8 of \d+ steps, 7 of them yours/);
  });

  it('measures before, yours and the reference after a guess', () => {
    assert.equal(clone.learn('bench', '--smoke').code, 1);
    const { code, text, errorText } = clone.learn('bench', '--smoke', '--guess', '40');
    assert.equal(code, 0, errorText);
    assert.match(text, /^ns a record, CPU +before +yours +reference\n1 thread +\d/m);
  });

  it('shows a model answer after the learner wrote one', () => {
    const { code, text } = clone.learn('answer', '5', '2');
    assert.equal(code, 1);
    assert.match(text, /first write yours/);
    const answered = clone.learn('answer', '5', '2', '--mine', 'because of the cache line');
    assert.equal(answered.code, 0);
    assert.match(answered.text, /because of the cache line\nmodel answer\n {2}\S/);
    assert.equal(clone.learn('answer', '5', '99').code, 2);
  });

  it('asks for a guess and an answer in a terminal', {
    skip: requireTool('script', 'bsdutils'),
  }, async () => {
    const file = join(clone.root, '.learn/state.json');
    const state = JSON.parse(readFileSync(file, 'utf8')) as { guesses: Record<string, number> };
    state.guesses = {};
    writeFileSync(file, JSON.stringify(state));
    const measured = clone.followInTerminal(owner, 'bench', '--smoke');
    await measured.next('your guess in ns a record, CPU: ');
    measured.type('many\r40\r');
    await measured.next('a number above 0');
    await measured.next('1 thread ');
    assert.match(await measured.next('\n'), /^ *\d/);
    assert.equal(await measured.exited, 0);
    const answering = async (number: string, typed: string) => {
      const command = clone.followInTerminal(owner, 'answer', '5', number);
      await command.next('your answer; an empty line ends it');
      await command.next('> ');
      command.type(typed);
      return command;
    };
    const answered = await answering('3', 'a store publishes\rwhat came before\r\r');
    await answered.next('yours\n  a store publishes what came before\nmodel answer\n');
    assert.equal(await answered.exited, 0);
    const silent = await answering('4', '\u0004');
    await silent.next('first write yours');
    assert.equal(await silent.exited, 1);
  });

  it('resets a step and the phase', () => {
    assert.equal(clone.learn('reset', '5.4').code, 0);
    assert.match(clone.learn('check', '--once').text, /5\.3 wrap ok\n5\.4 full ✗/);
    assert.equal(clone.learn('reset', '5').code, 0);
    assert.match(clone.learn('check', '--once').text, /5\.1 layout ✗/);
    assert.deepEqual(passed(), []);
    const hidden = clone.learn('solution', '5.6', '--yes');
    assert.equal(hidden.code, 1);
    assert.match(hidden.errorText, /lacks markers "\/\/> 5\.6": solve the steps before it/);
  });

  it('starts at a later step with the earlier ones filled in', () => {
    assert.equal(clone.learn('start', '5.6').code, 0);
    const { text } = clone.learn('check', '--once');
    assert.match(text, /5\.5 drops ok\n5\.6 publish: ordered ✗/);
    assert.match(text, /got: .*(main|worker) (reads|writes) .* at src\/telemetry\/ring-buffer\.ts:\d+/s);
  });

  it('checks only on its own branch, also while it watches', async () => {
    const main = clone.git('rev-parse', 'main');
    const watching = clone.follow(owner, 'check');
    await watching.next('waiting for the next save');
    clone.git('switch', '--quiet', 'main');
    assert.equal(await watching.exited, 1);
    assert.equal(clone.git('rev-parse', 'main'), main);
    const { code, errorText } = clone.learn('check', '--once');
    assert.equal(code, 1);
    assert.match(errorText, /this is the branch main; run git switch my\/phase-5/);
  });

  it('measures phase 0 as well, on the disk of the clone', () => {
    assert.equal(clone.learn('start', '0').code, 0);
    const { code, text, errorText } = clone.learn('bench', '--guess', '1', '--smoke');
    assert.equal(code, 0, errorText);
    assert.match(
      text,
      /^ms a request +phase 0, synced +phase 0, written +phase 6, synced\n20 clients +[\d.]+ \(/m,
    );
  });

  it('fills in the prediction of a step that measures, and the reset forgets it', () => {
    const file = join(clone.root, '.learn/state.json');
    const stored = () => JSON.parse(readFileSync(file, 'utf8')) as Record<'guesses' | 'passed', object>;
    assert.match(clone.learn('solution', '0.1').errorText, /0\.1 has not passed yet/);
    const { code, text } = clone.learn('solution', '0.1', '--yes');
    assert.equal(code, 0);
    assert.match(
      text,
      /^the prediction: 9\.5 requests a second: .*\n9\.5 is filled in: npm run learn check/m,
    );
    assert.deepEqual(
      [stored().guesses, stored().passed],
      [{ ...stored().guesses, '0.1': 9.5 }, stored().passed],
    );
    assert.ok(!('0.1' in stored().passed), 'only a measurement lets the step pass');
    assert.match(clone.learn('reset', '0').text, /^0 is as it was at the start$/m);
    assert.ok(!('0.1' in stored().guesses));
  });

  it('counts measured steps that passed before', () => {
    const file = join(clone.root, '.learn/state.json');
    const state = JSON.parse(readFileSync(file, 'utf8')) as { passed: Record<string, object> };
    const given = { at: '2026-01-01T00:00:00.000Z', hints: 0, isGiven: true };
    for (const id of ['0.1', '0.2', '0.3', '0.4']) state.passed[id] = given;
    writeFileSync(file, JSON.stringify(state));
    const { code, text } = clone.learn('check', '--once');
    assert.equal(code, 0);
    assert.match(text, /^all 4 steps of phase 0 pass\.\nnext:\n/);
    assert.match(text, /^ {2}npm run learn start 1 +the next phase: thread per request$/m);
  });
});
