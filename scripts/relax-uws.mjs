// Makes copies of the uWebSockets.js binaries that load on glibc 2.36 (Debian 12). The originals ask for glibc 2.38
// only because of C23 names of scanf and strtol, which older versions offer under their C99 names. Plain Node, since
// it runs before anything is built. Usage: node scripts/relax-uws.mjs
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PACKAGE = '@btc-vision/uwebsockets.js';

/** SHA-256 of each binary of version 20.57.0 that the server supports, and of its relaxed copy. */
export const BINARIES = [
  {
    arch: 'x64',
    abi: 115,
    original: '5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91',
    relaxed: 'd1156432c696075e653325e7d7a784796db200923221e1e4a36293d15d724e32',
  },
  {
    arch: 'x64',
    abi: 127,
    original: '4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac',
    relaxed: 'f1608f301188933e79a50cf7d219a30ee83814aaba5e400e37c10eb9be7958db',
  },
  {
    arch: 'x64',
    abi: 137,
    original: '98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05',
    relaxed: '337e7312c83b0df8accbe2446055c1e663ef14824712a055dfb8c34852cd8d69',
  },
  {
    arch: 'arm64',
    abi: 115,
    original: '6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c',
    relaxed: 'c2d1ed56dd649fa070edc7f40ab7f001220b779a25ccf74b4668956815add011',
  },
  {
    arch: 'arm64',
    abi: 127,
    original: '82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895',
    relaxed: '2c554a4acaef582e6cff58bbe9d555749d492153167e06c38721e39fd4f467ae',
  },
  {
    arch: 'arm64',
    abi: 137,
    original: '88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce',
    relaxed: 'c52f98e37763f821adfd7a24445de06c5941db0bb99b92fd2ac06d5f65cd50f8',
  },
];

/** Must agree with src/http/uws.ts, which loads the copy. */
const RELAXED_SUFFIX = '.glibc-2.36.node';

/** From the ELF specification and elf.h of glibc. */
const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6ffffffe;
const SHT_GNU_VERSYM = 0x6fffffff;
const VER_FLG_WEAK = 2;
const HIDDEN_BIT = 0x8000;
const SYMBOL_BYTES = 24;

const TOO_NEW = 'GLIBC_2.38';
/** The first version of each port, under which the C99 names are exported. */
const BASE_VERSIONS = ['GLIBC_2.2.5', 'GLIBC_2.17'];
const C23_NAMES = ['__isoc23_sscanf', '__isoc23_strtol', '__isoc23_strtoul'];
const C23_PREFIX_BYTES = '__isoc23_'.length;

/** Section headers of a 64-bit little-endian ELF file, and what reads names from its dynamic string table. */
function parseElf(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1)
    throw new Error('not a 64-bit little-endian ELF file');
  const start = Number(bytes.readBigUInt64LE(0x28));
  const size = bytes.readUInt16LE(0x3a);
  const sections = Array.from({ length: bytes.readUInt16LE(0x3c) }, (_, index) => {
    const at = start + index * size;
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    };
  });
  const find = (type) => {
    const found = sections.find((section) => section.type === type);
    if (found === undefined) throw new Error('no dynamic symbols with versions');
    return found;
  };
  const symbols = find(SHT_DYNSYM);
  const strings = sections[symbols.link].offset;
  const text = (offset) => bytes.toString('latin1', strings + offset, bytes.indexOf(0, strings + offset));
  return { symbols, versions: find(SHT_GNU_VERSYM), needs: find(SHT_GNU_VERNEED), text };
}

/** Calls `visit(library, version, at)` for each version that the file needs; `at` is the offset of its Vernaux. */
function forEachNeed(bytes, { needs, text }, visit) {
  let need = needs.offset;
  for (let i = 0; i < needs.info; i++) {
    let version = need + bytes.readUInt32LE(need + 8);
    for (let k = 0; k < bytes.readUInt16LE(need + 2); k++) {
      visit(text(bytes.readUInt32LE(need + 4)), text(bytes.readUInt32LE(version + 8)), version);
      version += bytes.readUInt32LE(version + 12);
    }
    need += bytes.readUInt32LE(need + 12);
  }
}

/**
 * Versions that the dynamic linker will insist on, as `library version`; weak ones are left out.
 * @param {Buffer} bytes an ELF file
 * @returns {string[]}
 */
export function strictVersionNeeds(bytes) {
  const found = [];
  forEachNeed(bytes, parseElf(bytes), (library, version, at) => {
    if ((bytes.readUInt16LE(at + 4) & VER_FLG_WEAK) === 0) found.push(`${library} ${version}`);
  });
  return found;
}

/**
 * A copy in which the C23 names are imported by their C99 names in the first version of glibc, and the need for
 * glibc 2.38 is weak. The names are suffixes of each other, so no string is added and no offset moves.
 * @param {Buffer} original an ELF file
 * @returns {Buffer}
 * @throws when it needs anything else of glibc 2.38
 */
export function relax(original) {
  const bytes = Buffer.from(original);
  const elf = parseElf(bytes);
  let tooNew = -1;
  let base = -1;
  forEachNeed(bytes, elf, (library, version, at) => {
    if (library !== 'libc.so.6') return;
    if (BASE_VERSIONS.includes(version)) base = bytes.readUInt16LE(at + 6);
    if (version !== TOO_NEW) return;
    tooNew = bytes.readUInt16LE(at + 6);
    bytes.writeUInt16LE(bytes.readUInt16LE(at + 4) | VER_FLG_WEAK, at + 4);
  });
  if (tooNew === -1 || base === -1) throw new Error(`it does not need ${TOO_NEW} of libc.so.6`);
  for (let index = 0; index < elf.symbols.size / SYMBOL_BYTES; index++) {
    const version = elf.versions.offset + 2 * index;
    if ((bytes.readUInt16LE(version) & ~HIDDEN_BIT) !== tooNew) continue;
    const symbol = elf.symbols.offset + SYMBOL_BYTES * index;
    const nameOffset = bytes.readUInt32LE(symbol);
    const name = elf.text(nameOffset);
    if (!C23_NAMES.includes(name))
      throw new Error(`it imports ${name} of ${TOO_NEW}, which has no older name`);
    bytes.writeUInt32LE(nameOffset + C23_PREFIX_BYTES, symbol);
    bytes.writeUInt16LE(base, version);
  }
  return bytes;
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * Writes the relaxed copy beside one original, unless it is there already.
 * @throws when the original or the copy is not the known one
 */
export function relaxFile(directory, { arch, abi, original, relaxed }) {
  const source = join(directory, `uws_linux_${arch}_${abi}.node`);
  const target = source.replace(/\.node$/, RELAXED_SUFFIX);
  if (existsSync(target) && sha256(readFileSync(target)) === relaxed) return;
  const bytes = readFileSync(source);
  if (sha256(bytes) !== original) {
    throw new Error(
      `${source} is not the known binary of version 20.57.0: SHA-256 ${sha256(bytes)} instead of ${original}. ` +
        'Run npm ci to get the version of the lock file.',
    );
  }
  const copy = relax(bytes);
  if (sha256(copy) !== relaxed) {
    throw new Error(
      `the relaxed copy of ${source} has SHA-256 ${sha256(copy)} instead of ${relaxed}; it was not written.`,
    );
  }
  // Renamed into place, so that a server that starts meanwhile never loads half a file.
  const partial = `${target}.${process.pid}`;
  writeFileSync(partial, copy);
  renameSync(partial, target);
}

/** Relaxes the binaries for this processor, for every supported Node.js. Does nothing on other processors. */
export function relaxInstalled(arch = process.arch) {
  const directory = dirname(createRequire(import.meta.url).resolve(PACKAGE));
  for (const binary of BINARIES) if (binary.arch === arch) relaxFile(directory, binary);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    relaxInstalled();
  } catch (error) {
    console.error(`Cannot prepare uWebSockets.js: ${error.message}`);
    process.exit(1);
  }
}
