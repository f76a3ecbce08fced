// The same as tuf_bench.cc does, with tuf-js:
//   node tuf_bench.mjs NODE_DIR REPOSITORY WORK ROUNDS WARM_UP PATH
// NODE_DIR is where npm's packages are (build/…/tests/interop/node). Prints
// {"refresh_us":…,"lookup_us":…}, the medians.
import {cpSync, mkdirSync, readFileSync, rmSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';

const [nodeDir, repository, work, rounds, warmUp, path] = process.argv.slice(2);
const require = createRequire(join(nodeDir, 'x.js'));
const [major, minor] = process.versions.node.split('.').map(Number);
const name = major > 20 || (major === 20 && minor >= 17) ? 'tuf-js' : 'tuf-js-node18';
const {Updater, BaseFetcher} = require(name);

// Straight from the disk, as the other side's DirectoryFetcher.
class Files {
  async downloadFile(url, maxLength, handler) {
    const file = join(work, `download-${process.pid}`);
    const {writeFileSync} = await import('node:fs');
    writeFileSync(file, await this.downloadBytes(url, maxLength));
    return handler(file);
  }
  async downloadBytes(url, maxLength) {
    let bytes;
    try {
      bytes = readFileSync(new URL(url));
    } catch {
      const {DownloadHTTPError} = require(join(nodeDir, 'node_modules', name, 'dist/error.js'));
      throw new DownloadHTTPError('none', 404);
    }
    if (bytes.length > maxLength) throw new Error('too long');
    return bytes;
  }
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const refresh = [];
const lookup = [];
for (let i = 0; i < Number(rounds) + Number(warmUp); ++i) {
  const store = join(work, 'js');
  rmSync(store, {recursive: true, force: true});
  mkdirSync(store, {recursive: true});
  cpSync(join(repository, 'metadata/1.root.json'), join(store, 'root.json'));
  const updater = new Updater({metadataDir: store,
    metadataBaseUrl: `file://${repository}/metadata`, fetcher: new Files()});
  const start = process.hrtime.bigint();
  await updater.refresh();
  const middle = process.hrtime.bigint();
  if (!(await updater.getTargetInfo(path))) throw new Error(`no ${path}`);
  const end = process.hrtime.bigint();
  if (i < Number(warmUp)) continue;
  refresh.push(Number(middle - start) / 1000);
  lookup.push(Number(end - middle) / 1000);
}
console.log(JSON.stringify({refresh_us: median(refresh), lookup_us: median(lookup)}));
