/** The uWebSockets.js builds: relaxed copies, the choice between builds, and messages for machines that load none. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadUws, type Machine, unmetRequirement } from '../../src/http/uws.ts';
import type { Owner } from '../support/clean-up.ts';
import { ROOT } from '../support/deploy-files.ts';
import { temporaryDirectory } from '../support/server-process.ts';

interface Binary {
  readonly arch: string;
  readonly abi: number;
  readonly original: string;
  readonly relaxed: string;
}

interface RelaxModule {
  readonly BINARIES: readonly Binary[];
  readonly PACKAGE: string;
  relax(original: Buffer): Buffer;
  sha256(bytes: Buffer): string;
  strictVersionNeeds(bytes: Buffer): string[];
  relaxFile(directory: string, binary: Binary): void;
}

// Plain JavaScript, which the compiler does not cover.
const script = join(ROOT, 'scripts/relax-uws.mjs');
const { BINARIES, PACKAGE, relax, relaxFile, sha256, strictVersionNeeds } = (await import(
  script
)) as RelaxModule;
const installed = join(ROOT, 'node_modules', PACKAGE);
const nameOf = ({ arch, abi }: Binary): string => `uws_linux_${arch}_${abi}.node`;
const relaxedNameOf = (binary: Binary): string => nameOf(binary).replace(/\.node$/, '.glibc-2.36.node');

describe('relaxed copies of uWebSockets.js', () => {
  for (const binary of BINARIES) {
    it(`for ${binary.arch} and Node ABI ${binary.abi} need no version after glibc 2.36`, () => {
      const original = readFileSync(join(installed, nameOf(binary)));
      assert.ok(strictVersionNeeds(original).includes('libc.so.6 GLIBC_2.38'));
      const copy = relax(original);
      for (const need of strictVersionNeeds(copy)) {
        const [, minor = ''] = /GLIBC_2\.(\d+)/.exec(need) ?? [];
        assert.ok(Number(minor) <= 36, need);
      }
      assert.equal(copy.includes('__isoc23_'), true, 'the string table stays as it is');
      assert.equal(sha256(original), binary.original);
      assert.equal(sha256(copy), binary.relaxed);
      const changed = original.reduce((sum, byte, at) => sum + (byte === copy[at] ? 0 : 1), 0);
      assert.ok(changed <= 15, `${changed} bytes changed`);
    });
  }

  it('cover both processors and all supported versions of Node.js', () => {
    const pairs = BINARIES.map(({ arch, abi }) => `${arch} ${abi}`).sort();
    assert.deepEqual(pairs, ['arm64 115', 'arm64 127', 'arm64 137', 'x64 115', 'x64 127', 'x64 137']);
  });

  const [first] = BINARIES as [Binary];

  it('are written again when a copy is damaged', (t) => {
    const directory = temporaryDirectory(t);
    cpSync(join(installed, nameOf(first)), join(directory, nameOf(first)));
    const copy = join(directory, relaxedNameOf(first));
    writeFileSync(copy, 'half a file');
    relaxFile(directory, first);
    assert.equal(sha256(readFileSync(copy)), first.relaxed);
  });

  it('are refused for an unknown binary, with its hash and a remedy', (t) => {
    const directory = temporaryDirectory(t);
    const bytes = readFileSync(join(installed, nameOf(first)));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(join(directory, nameOf(first)), bytes);
    assert.throws(
      () => relaxFile(directory, first),
      (error: Error) => error.message.includes(sha256(bytes)) && /npm ci/.test(error.message),
    );
    assert.equal(existsSync(join(directory, relaxedNameOf(first))), false);
  });

  it('are refused when the result is not the known one', (t) => {
    const directory = temporaryDirectory(t);
    cpSync(join(installed, nameOf(first)), join(directory, nameOf(first)));
    assert.throws(() => relaxFile(directory, { ...first, relaxed: '0'.repeat(64) }), /not written/);
    assert.equal(existsSync(join(directory, relaxedNameOf(first))), false);
  });

  it('are refused for files other than ELF', () => {
    assert.throws(() => relax(Buffer.from('#!/bin/sh')), /ELF/);
    assert.throws(() => relax(Buffer.alloc(4096)), /ELF/);
  });
});

/** Loads uWebSockets.js in a process of its own, from a copy of the loader that sees only the given packages. */
function loadFrom(owner: Owner, packages: Record<string, (directory: string) => void>) {
  const root = temporaryDirectory(owner);
  mkdirSync(join(root, 'dist/src/http'), { recursive: true });
  mkdirSync(join(root, 'dist/src/base'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{"type":"module"}');
  for (const file of ['http/uws.js', 'base/errors.js'])
    cpSync(join(ROOT, 'dist/src', file), join(root, 'dist/src', file));
  for (const [name, fill] of Object.entries(packages)) {
    const directory = join(root, 'node_modules', name);
    mkdirSync(directory, { recursive: true });
    fill(directory);
  }
  const source =
    `const { loadUws } = await import('${join(root, 'dist/src/http/uws.js')}');` +
    `try { const { version, build, passedOver } = loadUws(); console.log(JSON.stringify({ version, build, passedOver })); }` +
    `catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })); }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source]);
  assert.notEqual(stdout.toString(), '', stderr.toString());
  return JSON.parse(stdout.toString()) as Record<string, string | null>;
}

const linkInstalled = (directory: string): void => {
  rmSync(directory, { recursive: true });
  symlinkSync(installed, directory);
};

/** A package like the bundled one, with this text as its binary. */
const withBinary =
  (bytes: Buffer, version: string) =>
  (directory: string): void => {
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ version, main: 'uws.js' }));
    writeFileSync(join(directory, 'uws.js'), '');
    writeFileSync(join(directory, `uws_linux_${process.arch}_${process.versions.modules}.node`), bytes);
  };

describe('the choice of a uWebSockets.js build', () => {
  const loaded = loadUws();

  it('has the version of the lock file, and says which build it is', () => {
    assert.equal(loaded.version, '20.57.0');
    assert.match(loaded.build, /^(bundled|bundled, relaxed for glibc 2\.36|installed uWebSockets\.js)$/);
    assert.equal(loaded.passedOver, null);
  });

  it('prefers an installed official package', (t) => {
    const found = loadFrom(t, {
      [PACKAGE]: linkInstalled,
      'uWebSockets.js': withBinary(readFileSync(loaded.path), '20.99.0'),
    });
    assert.deepEqual(found, { version: '20.99.0', build: 'installed uWebSockets.js', passedOver: null });
  });

  it('passes over an official package that does not load, with the reason', (t) => {
    const found = loadFrom(t, {
      [PACKAGE]: linkInstalled,
      'uWebSockets.js': withBinary(Buffer.from('no ELF file, padded'.padEnd(100)), '20.99.0'),
    });
    assert.equal(found.version, '20.57.0');
    assert.match(String(found.passedOver), /uWebSockets\.js\/uws_linux/);
  });

  it('fails with one line when the package is missing, without a JavaScript fallback', (t) => {
    const { code, message } = loadFrom(t, {});
    assert.equal(code, 'TRANSPORT_UNAVAILABLE');
    assert.match(String(message), /npm ci/);
    assert.doesNotMatch(String(message), /\n/);
  });
});

describe('a machine that loads no build', () => {
  const good: Machine = { platform: 'linux', arch: 'x64', node: '22.1.0', glibc: '2.36', hasRelaxed: true };
  const cases: readonly (readonly [string, Partial<Machine>, RegExp])[] = [
    ['another operating system', { platform: 'darwin' }, /needs Linux on x64 or arm64; this is darwin/],
    ['another processor', { arch: 'riscv64' }, /needs Linux on x64 or arm64; this is linux on riscv64/],
    ['another Node.js', { node: '23.4.0' }, /needs Node\.js 20, 22 or 24; this is 23\.4\.0/],
    ['musl', { glibc: undefined }, /needs glibc 2\.36 or later.*musl/],
    ['an old glibc', { glibc: '2.35' }, /needs glibc 2\.36 or later.*has glibc 2\.35/],
    ['no relaxed copy', { hasRelaxed: false }, /run npm run build/],
    ['another fault', {}, /^the cause$/],
  ];
  for (const [name, difference, expected] of cases) {
    it(`with ${name} is described in one line`, () => {
      const text = unmetRequirement({ ...good, ...difference }, 'the cause');
      assert.match(text, expected);
      assert.doesNotMatch(text, /\n/);
    });
  }
});
