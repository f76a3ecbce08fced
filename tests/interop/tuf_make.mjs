// A repository made and signed by npm's @tufjs/models, in three states:
//   node tuf_make.mjs GENERATION DIR
// DIR/1: root 1 of 2 of 3 keys, one of each type; timestamp and snapshot at high
//        versions; delegations by pattern, by hash prefix and to succinct bins;
//        a role whose name is no file name; awkward targets.
// DIR/2: root 2 without one key and with another; new keys for timestamp and
//        snapshot, whose versions begin again; "plain.txt" changed.
// DIR/3: as 2, but the bytes of "release/1.bin" are others.
// Prints {"targets": {PATH: HEX}, "absent": [PATH…]} of DIR/1.
import {createHash, generateKeyPairSync, sign} from 'node:crypto';
import {cpSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';

import canonical from '@tufjs/canonical-json';
import {tufModels} from './tuf_packages.mjs';

const [generation, out] = process.argv.slice(2);
const {Metadata, MetadataKind, Signature} = await tufModels(generation);
const expires = new Date(Date.now() + 30 * 86400e3).toISOString().replace(/\.\d+Z/, 'Z');
const hex = (algorithm, bytes) => createHash(algorithm).update(bytes).digest('hex');

function makeKey(type) {
  const make = {
    ed25519: () => generateKeyPairSync('ed25519'),
    ecdsa: () => generateKeyPairSync('ec', {namedCurve: 'P-256'}),
    rsa: () => generateKeyPairSync('rsa', {modulusLength: 2048}),
  };
  const scheme = {ed25519: 'ed25519', ecdsa: 'ecdsa-sha2-nistp256', rsa: 'rsassa-pss-sha256'};
  const {publicKey, privateKey} = make[type]();
  const value = type === 'ed25519'
    ? publicKey.export({type: 'spki', format: 'der'}).subarray(-32).toString('hex')
    : publicKey.export({type: 'spki', format: 'pem'});
  const json = {keytype: type, scheme: scheme[type], keyval: {public: value}, 'x-note': 'ünknown'};
  const id = hex('sha256', canonical.canonicalize(json));
  const signer = (data) => new Signature({keyID: id, sig: sign(
    type === 'ed25519' ? null : 'sha256', data,
    type === 'rsa' ? {key: privateKey, padding: 6, saltLength: 32} : privateKey).toString('hex')});
  return {id, json, signer};
}

const role = (keys, threshold = 1) => ({keyids: keys.map((k) => k.id), threshold});
const keyMap = (keys) => Object.fromEntries(keys.map((k) => [k.id, k.json]));

function signed(kind, version, rest, signers) {
  const metadata = Metadata.fromJSON(kind, {signatures: [], signed:
    {_type: kind, spec_version: '1.0.31', version, expires, 'x-field': {a: [1, null]}, ...rest}});
  for (const key of signers) metadata.sign(key.signer);
  return Buffer.from(JSON.stringify(metadata.toJSON(), null, 1));
}

function write(directory, name, bytes) {
  const path = join(out, directory, name);
  mkdirSync(dirname(path), {recursive: true});
  writeFileSync(path, bytes);
}

const contents = {};  // by path
function target(path, algorithms = ['sha256']) {
  const bytes = contents[path];
  const hashes = Object.fromEntries(algorithms.map((a) => [a, hex(a, bytes)]));
  return [path, {length: bytes.length, hashes, custom: {note: 'quote " back\\slash\nline é'}}];
}
function writeTarget(directory, path, hashes) {
  const slash = path.lastIndexOf('/') + 1;
  for (const digest of Object.values(hashes))
    write(directory, `targets/${path.slice(0, slash)}${digest}.${path.slice(slash)}`, contents[path]);
}

// What each role says, by path.
const said = {
  targets: ['plain.txt', 'only-sha512', 'both'],
  release: ['release/1.bin', 'release/empty'],
  '../we?ird #1': ['weird/a b+c', 'weird/ünï 日本 🐟', 'weird/100%', 'weird/q?x#y',
    'weird/back\\slash', 'weird/"quoted"', "weird/(it's)[1]{2}", 'weird/...', 'weird/%2e%2e'],
  prefixed: ['hashed one', 'hashed/two/three'],
};
const binned = Array.from({length: 20}, (_, i) => `bins/file ${i}`);
for (const path of [...Object.values(said).flat(), ...binned])
  contents[path] = Buffer.from(path === 'release/empty' ? '' : `content of ${path}`);
const algorithms = {'only-sha512': ['sha512'], both: ['sha512', 'sha256']};
const bin = (path) => `bin-${hex('sha256', path)[0]}`;

const root = [makeKey('ed25519'), makeKey('ecdsa'), makeKey('rsa')];
const keys = Object.fromEntries(['targets', 'release', 'weird', 'prefixed', 'binner', 'bins']
  .map((name, i) => [name, makeKey(['rsa', 'ecdsa', 'ed25519', 'ecdsa', 'rsa', 'ed25519'][i])]));

function delegation(name, key, rest) {
  return {name, terminating: false, ...role([key]), ...rest};
}

// Everything but root, for one state.
function publish(directory, online, versions) {
  const meta = {};
  const put = (name, version, rest, signer) => {
    const bytes = signed(MetadataKind.Targets, version, rest, [signer]);
    write(directory, `metadata/${version}.${encodeURIComponent(name)}.json`, bytes);
    meta[`${name}.json`] = {version, length: bytes.length, hashes: {sha512: hex('sha512', bytes)}};
  };
  const files = (paths) => Object.fromEntries(paths.map((p) => {
    const entry = target(p, algorithms[p]);
    writeTarget(directory, p, entry[1].hashes);
    return entry;
  }));
  put('targets', versions.targets, {targets: files(said.targets), delegations: {
    keys: keyMap([keys.release, keys.weird, keys.prefixed, keys.binner]), roles: [
      delegation('release', keys.release, {paths: ['release/*'], terminating: true}),
      delegation('../we?ird #1', keys.weird, {paths: ['weird/*']}),
      delegation('binner', keys.binner, {paths: ['bins/file ?', 'bins/file [0-9][0-9]']}),
      delegation('prefixed', keys.prefixed, {path_hash_prefixes: [...'0123456789abcdef']}),
    ]}}, keys.targets);
  put('release', 1, {targets: files(said.release)}, keys.release);
  put('../we?ird #1', 1, {targets: files(said['../we?ird #1'])}, keys.weird);
  put('prefixed', 1, {targets: files(said.prefixed)}, keys.prefixed);
  put('binner', 1, {targets: {}, delegations: {keys: keyMap([keys.bins]), succinct_roles:
    {...role([keys.bins]), bit_length: 4, name_prefix: 'bin'}}}, keys.binner);
  for (const digit of '0123456789abcdef')
    put(`bin-${digit}`, 1, {targets: files(binned.filter((p) => bin(p) === `bin-${digit}`))}, keys.bins);
  const snapshot = signed(MetadataKind.Snapshot, versions.snapshot, {meta}, [online.snapshot]);
  write(directory, `metadata/${versions.snapshot}.snapshot.json`, snapshot);
  write(directory, 'metadata/timestamp.json', signed(MetadataKind.Timestamp, versions.timestamp,
    {meta: {'snapshot.json': {version: versions.snapshot}}}, [online.timestamp]));
}

function rootOf(version, rootKeys, online, signers) {
  return signed(MetadataKind.Root, version, {consistent_snapshot: true,
    keys: keyMap([...rootKeys, keys.targets, online.snapshot, online.timestamp]),
    roles: {root: role(rootKeys, 2), targets: role([keys.targets]),
      snapshot: role([online.snapshot]), timestamp: role([online.timestamp])}}, signers);
}

const online1 = {snapshot: makeKey('ecdsa'), timestamp: makeKey('ed25519')};
const root1 = rootOf(1, root, online1, [root[0], root[2]]);
write('1', 'metadata/1.root.json', root1);
publish('1', online1, {targets: 3, snapshot: 60, timestamp: 50});
console.log(JSON.stringify({
  targets: Object.fromEntries(Object.entries(contents).map(([p, b]) => [p, b.toString('hex')])),
  absent: ['none', 'release/none', 'weird/none', 'bins/file 99', 'bins/file 100', 'release/a/b'],
}));

contents['plain.txt'] = Buffer.from('changed');
const online2 = {snapshot: makeKey('rsa'), timestamp: makeKey('ecdsa')};
const kept = [root[1], root[2], makeKey('ecdsa')];
write('2', 'metadata/1.root.json', root1);
write('2', 'metadata/2.root.json', rootOf(2, kept, online2, [root[1], root[2]]));
publish('2', online2, {targets: 4, snapshot: 1, timestamp: 1});
cpSync(join(out, '2'), join(out, '3'), {recursive: true});
const tampered = Buffer.from(contents['release/1.bin']);
tampered[0] ^= 1;
write('3', `targets/release/${hex('sha256', contents['release/1.bin'])}.1.bin`, tampered);
