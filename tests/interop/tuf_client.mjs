// tuf-js as a client of a repository:
//   node tuf_client.mjs GENERATION METADATA_DIR METADATA_URL TARGET_DIR TARGET_URL PATH…
// METADATA_DIR holds the trusted root.json. One JSON line for each path:
//   {"path":…,"found":true,"length":N,"custom":…,"bytes":HEX}
// An error ends it: {"error":…} and status 1.
import {readFileSync} from 'node:fs';

import {tufJs} from './tuf_packages.mjs';

const [generation, metadataDir, metadataBaseUrl, targetDir, targetBaseUrl, ...paths] =
  process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));
try {
  const {Updater} = await tufJs(generation);
  const updater = new Updater({metadataDir, metadataBaseUrl, targetDir, targetBaseUrl,
    config: {fetchRetry: false, fetchRetries: 0}});
  await updater.refresh();
  for (const path of paths) {
    const target = await updater.getTargetInfo(path);
    if (!target) {
      say({path, found: false});
      continue;
    }
    const file = await updater.downloadTarget(target);
    say({path, found: true, length: target.length, custom: target.custom,
      bytes: readFileSync(file).toString('hex')});
  }
} catch (error) {
  say({error: String(error)});
  process.exitCode = 1;
}
