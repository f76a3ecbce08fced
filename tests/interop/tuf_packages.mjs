// npm's TUF packages. Those of today need Node 20.17; Debian 12 has 18, for
// which tuf-js 3 is the newest, so both are installed and what runs is used.
const [major, minor] = process.versions.node.split('.').map(Number);

export const generations =
  major > 20 || (major === 20 && minor >= 17) ? ['current', 'node18'] : ['node18'];

const clients = {current: 'tuf-js', node18: 'tuf-js-node18'};
const models = {current: '@tufjs/models', node18: 'tufjs-models-node18'};

export const tufJs = async (generation) => (await import(clients[generation])).default;
export const tufModels = async (generation) => (await import(models[generation])).default;
