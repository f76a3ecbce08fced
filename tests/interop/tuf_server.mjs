// Serves a directory on a port of the system's choice and says each request:
//   node tuf_server.mjs DIR
//   event=ready port=N
//   event=request status=200 path=/metadata/timestamp.json
// A metadata file's name may hold %XX (a role's name is one file), so the path
// is tried as it came before it is decoded.
import {createServer} from 'node:http';
import {readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';

const root = process.argv[2];

function find(path) {
  for (const name of [path, decodeURIComponent(path)]) {
    const file = join(root, name);
    try {
      if (file.startsWith(root) && statSync(file).isFile()) return readFileSync(file);
    } catch {
      // The next one, or 404.
    }
  }
  return undefined;
}

const server = createServer((request, response) => {
  const path = request.url;
  const bytes = find(path);
  response.writeHead(bytes ? 200 : 404, {'content-length': bytes ? bytes.length : 0});
  response.end(bytes ?? '');
  console.log(`event=request status=${bytes ? 200 : 404} path=${path}`);
});
server.listen(0, '127.0.0.1', () => console.log(`event=ready port=${server.address().port}`));
