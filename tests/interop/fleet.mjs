// A stranger's client: Node's own gRPC over mutual TLS with a P-256 client
// certificate, nothing of Shoal but proto/.
//
//   node fleet.mjs --server HOST:PORT --ca server.crt --cert tls.crt
//       --key tls.key --protos proto
//       devices [FILTER] | group ID FILTER | watch ID | orders ID RELEASE |
//       complete ID RELEASE
//
// Prints one JSON object a line. Ends with 1 when a call fails.
import fs from 'node:fs';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

function parse(argv) {
  const options = {};
  const words = [];
  for (let i = 0; i < argv.length; i++) {
    if (argv[i].startsWith('--')) options[argv[i].slice(2)] = argv[++i];
    else words.push(argv[i]);
  }
  for (const name of ['server', 'ca', 'cert', 'key', 'protos']) {
    if (!options[name]) throw new Error(`--${name} is missing`);
  }
  return {options, words};
}

const {options, words} = parse(process.argv.slice(2));
const definition = protoLoader.loadSync(
    ['shoal/fleet/v1/device_service.proto', 'shoal/fleet/v1/group_service.proto',
     'shoal/release/v1/release_service.proto', 'shoal/rollout/v1/rollout_service.proto'],
    {includeDirs: [options.protos], keepCase: true, longs: Number, enums: String,
     defaults: true});
const {shoal} = grpc.loadPackageDefinition(definition);
const credentials = grpc.credentials.createSsl(
    fs.readFileSync(options.ca), fs.readFileSync(options.key),
    fs.readFileSync(options.cert));
const channel = {'grpc.ssl_target_name_override': 'localhost',
                 'grpc.default_authority': 'localhost'};
const deadline = () => Date.now() + 30000;
const print = (message) => process.stdout.write(JSON.stringify(message) + '\n');

// Refused as long as a device runs it; with allow_in_use it goes.
async function deleteRelease(name) {
  const client = new shoal.release.v1.Releases(options.server, credentials, channel);
  const call = (request) => new Promise((resolve, reject) =>
      client.DeleteRelease(request, {deadline: deadline()},
                           (error, response) => error ? reject(error) : resolve(response)));
  const end = deadline();
  try {
    // The device's report may come after its outcome.
    for (let reason = ''; reason !== 'release_running' && Date.now() < end;) {
      try {
        await call({name, validate_only: true});
        await new Promise((resolve) => setTimeout(resolve, 50));
      } catch (error) {
        reason = error.metadata?.get('shoal-reason')[0] ?? '';
        print({step: 'refused', reason});
        if (reason !== 'release_running') throw error;
      }
    }
    const gone = await call({name, allow_in_use: true, request_id: 'js-delete'});
    print({step: 'deleted', bytes: gone.bytes, warnings: gone.warnings.length});
  } finally {
    client.close();
  }
}

function fail(error) {
  const reason = error.metadata?.get('shoal-reason')[0] ?? '';
  // google.rpc.Status as bytes; that the ErrorInfo is in it can be seen.
  const details = error.metadata?.get('grpc-status-details-bin')[0];
  print({error: error.details ?? error.message, code: error.code, reason,
         info: details?.toString('latin1').includes('google.rpc.ErrorInfo') ?? false});
  process.exitCode = 1;
}

if (words[0] === 'devices') {
  const client = new shoal.fleet.v1.Devices(options.server, credentials, channel);
  client.ListDevices({page_size: 1000, filter: words[1] ?? ''}, {deadline: deadline()}, (error, response) => {
    if (error) fail(error);
    else print(response);
    client.close();
  });
} else if (words[0] === 'group' && words[2]) {
  // Makes a group, waits until its members are settled, lists and deletes it.
  const client = new shoal.fleet.v1.Groups(options.server, credentials, channel);
  const call = (method, request) => new Promise((resolve, reject) =>
      client[method](request, {deadline: deadline()},
                     (error, response) => error ? reject(error) : resolve(response)));
  try {
    const request = {group_id: words[1], group: {filter: words[2]}, request_id: 'js-1'};
    const made = await call('CreateGroup', request);
    const again = await call('CreateGroup', request);
    let group = made;
    while (group.reconciling) group = await call('GetGroup', {name: made.name});
    const members = await call('ListGroupMembers', {parent: made.name});
    const deleted = await call('DeleteGroup', {name: made.name, etag: group.etag});
    print({made: made.name, again: again.etag === made.etag, members, deleting: deleted.deleting});
  } catch (error) {
    fail(error);
  }
  client.close();
} else if (words[0] === 'orders' && words[2]) {
  // A rollout and every order that there is for it, a line each.
  const client = new shoal.rollout.v1.Rollouts(options.server, credentials, channel);
  const call = (method, request) => new Promise((resolve, reject) =>
      client[method](request, {deadline: deadline()},
                     (error, response) => error ? reject(error) : resolve(response)));
  const name = `rollouts/${words[1]}`;
  const show = (order, rollout) => {
    print({order, state: rollout.state, message: rollout.message,
           approvals: rollout.approvals.length,
           released: rollout.document.activation?.released ?? false});
    return rollout;
  };
  try {
    const rollout = {rollout_id: words[1], release: words[2], phases: [
      {name: 'canary', count: 1, gate: {manual: true}}, {name: 'all', percent: 100}],
      activation: {hold: true}, error_threshold_permille: 100, delta_wait_seconds: -1,
      request_id: 'js-orders'};
    const plan = await call('PlanRollout', {rollout});
    print({order: 'plan', phases: plan.phases.length, warnings: plan.warnings.length});
    show('create', await call('CreateRollout', rollout));
    // It can be paused from the moment its document is signed.
    const end = deadline();
    for (;;) {
      try {
        show('pause', await call('PauseRollout', {name, reason: 'fair'}));
        break;
      } catch (error) {
        if (error.metadata?.get('shoal-reason')[0] !== 'not_active' || Date.now() > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    show('resume', await call('ResumeRollout', {name}));
    show('approve', await call('ApprovePhase', {name, phase: 1}));
    show('activate', await call('ActivateRollout', {name}));
    const why = await call('ExplainRollout', {name});
    print({order: 'explain', conditions: why.conditions.length});
    show('abort', await call('AbortRollout', {name, stay: true, request_id: 'js-abort'}));
    await call('PauseRollout', {name});
  } catch (error) {
    fail(error);
  }
  client.close();
} else if (words[0] === 'complete' && words[2]) {
  // A rollout from the plan to its end: whoever starts the image is watched, a
  // canary first, then a gate that this operator opens, then the outcomes.
  const client = new shoal.rollout.v1.Rollouts(options.server, credentials, channel);
  const call = (method, request) => new Promise((resolve, reject) =>
      client[method](request, {deadline: deadline()},
                     (error, response) => error ? reject(error) : resolve(response)));
  const name = `rollouts/${words[1]}`;
  try {
    const rollout = {rollout_id: words[1], release: words[2], device_type: 'gateway', phases: [
      {name: 'canary', count: 1, gate: {manual: true}}, {name: 'all', percent: 100}],
      request_id: 'js-complete'};
    const plan = await call('PlanRollout', {rollout});
    print({step: 'plan', devices: plan.phases.map((phase) => phase.devices)});
    await call('CreateRollout', rollout);
    const end = await new Promise((resolve, reject) => {
      const stream = client.WatchRollout({name}, {deadline: Date.now() + 120000});
      let approving = false;
      stream.on('data', (seen) => {
        print({step: 'watch', state: seen.state,
               done: seen.phases.map((phase) => phase.succeeded)});
        if (seen.state === 'ROLLOUT_STATE_ACTIVE' && seen.phases[0].succeeded === 1 && !approving) {
          approving = true;
          call('ApprovePhase', {name, phase: 1}).then(
              () => print({step: 'approved'}), reject);
        }
        if (['ROLLOUT_STATE_FINISHED', 'ROLLOUT_STATE_HALTED', 'ROLLOUT_STATE_FAILED',
             'ROLLOUT_STATE_ABORTED'].includes(seen.state)) {
          resolve(seen);
          stream.cancel();
        }
      });
      stream.on('error', (error) => {
        if (error.code !== grpc.status.CANCELLED) reject(error);
      });
    });
    print({step: 'end', state: end.state});
    let page = {next_page_token: ''};
    do {
      page = await call('ListOutcomes', {parent: name, page_size: 1,
                                         page_token: page.next_page_token});
      for (const outcome of page.outcomes)
        print({step: 'outcome', success: outcome.success, version: outcome.running_version});
    } while (page.next_page_token);
    await deleteRelease(words[2]);
  } catch (error) {
    fail(error);
  }
  client.close();
} else if (words[0] === 'watch' && words[1]) {
  const client = new shoal.rollout.v1.Rollouts(options.server, credentials, channel);
  const stream = client.WatchRollout({name: `rollouts/${words[1]}`}, {deadline: deadline()});
  stream.on('data', (rollout) => {
    print({name: rollout.name, state: rollout.state, phases: rollout.phases});
    if (words[2] && rollout.state === words[2]) stream.cancel();
  });
  stream.on('error', (error) => {
    if (error.code !== grpc.status.CANCELLED) fail(error);
    client.close();
  });
  stream.on('end', () => client.close());
} else {
  print({error: 'say: devices [FILTER], group ID FILTER, orders ID RELEASE, complete ID RELEASE, or: watch ID [STATE]'});
  process.exitCode = 2;
}
