// Runs test files of ably-js against presence-server.
//
//   node run.mjs CHECKOUT [--json] [FILE…] [-- MOCHA ARGUMENT…]
//
// CHECKOUT is a checkout of ably-js, of which only the folder test/ is used; the library under test
// is the published package. FILE is a name under test/realtime without .test.js; the default is
// presence, connection, sync, failure and channel. With --json the clients speak JSON, else
// MessagePack. SERVER_BIN names the server (default: the debug build in target/).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const SERVER = process.env.SERVER_BIN ?? join(HERE, '../../../../../target/debug/presence-server');

// The keys that the tests expect of an app, and what each may do.
const CAPABILITIES = [
  { '*': ['*'] },
  {
    'cansubscribe:*': ['subscribe'],
    'canpublish:*': ['publish'],
    'canpublish:andpresence': ['presence', 'publish'],
  },
  {
    channel0: ['publish'],
    channel1: ['publish'],
    channel2: ['publish', 'subscribe'],
    channel3: ['subscribe'],
    channel4: ['presence', 'publish', 'subscribe'],
    channel5: ['presence'],
    channel6: ['*'],
  },
  { '*': ['subscribe'] },
  { '*': ['*'] },
  { '[*]*': ['*'] },
];
const KEYS = CAPABILITIES.map((capability, i) => ({ name: `suite.key${i}`, secret: `secret-of-key-${i}`, capability }));

const [checkout, ...rest] = process.argv.slice(2);
const dashes = rest.indexOf('--');
const mine = dashes < 0 ? rest : rest.slice(0, dashes);
const mochaArguments = dashes < 0 ? [] : rest.slice(dashes + 1);
const json = mine.includes('--json');
const named = mine.filter((argument) => !argument.startsWith('--'));
const files = named.length > 0 ? named : ['presence', 'connection', 'sync', 'failure', 'channel'];
if (!checkout || !existsSync(join(checkout, 'test/realtime/presence.test.js'))) {
  console.error('usage: node run.mjs CHECKOUT-OF-ABLY-JS [--json] [FILE…] [-- MOCHA ARGUMENT…]');
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'ably-js-suite-'));
const server = await startServer();
const relay = await startRelay(server.port);
const provisioner = await startProvisioner(relay.address().port);
prepare();
const mocha = spawn(
  join(HERE, 'node_modules/.bin/mocha'),
  [
    '--no-config', '--exit', '--reporter', 'spec',
    '--require', 'test/support/modules_helper.js', '--require', 'test/support/test_helper.js',
    '--file', 'test/support/root_hooks.js',
    ...mochaArguments,
    ...files.map((file) => `test/realtime/${file}.test.js`),
  ],
  {
    cwd: work,
    stdio: 'inherit',
    env: {
      ...process.env,
      ABLY_LOCAL_SANDBOX_URL: `http://127.0.0.1:${provisioner.address().port}`,
      ABLY_TEST_TRANSPORTS: 'web_socket',
      ABLY_LOG_LEVEL: process.env.ABLY_LOG_LEVEL ?? '0',
    },
  },
);
const [code] = await once(mocha, 'exit');
server.process.kill();
provisioner.close();
relay.close();
rmSync(work, { recursive: true });
process.exit(code ?? 1);

/// The server, with the keys of the tests.
async function startServer() {
  const keys = join(work, 'keys.json');
  writeFileSync(keys, JSON.stringify(KEYS), { mode: 0o600 });
  const child = spawn(SERVER, ['--port', '0', '--keys', keys, '--log', process.env.SERVER_LOG ?? 'warn'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /http:\/\/[^:/]+:(\d+)\//.exec(line)?.[1];
    if (port) return { process: child, port: Number(port) };
  }
  throw new Error('the server did not start');
}

/// A way to the server that takes as long as a short network: a test measures a round trip in whole
/// milliseconds and does not take zero for an answer.
async function startRelay(port) {
  const LATENCY_MS = 1;
  const later = (step) => setTimeout(step, LATENCY_MS);
  const relay = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true);
      from.on('data', (data) => later(() => to.write(data)));
      from.on('end', () => later(() => to.end()));
      from.on('close', () => later(() => to.destroy()));
      from.on('error', () => to.destroy());
    }
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return relay;
}

/// Stands in for the service where the tests get an app: tells the keys, and where the server is.
async function startProvisioner(port) {
  const app = {
    accountId: 'account',
    appId: 'suite',
    namespaces: [],
    keys: KEYS.map(({ name, secret, capability }, i) => ({
      id: `key${i}`,
      keyName: name,
      value: secret,
      keyStr: `${name}:${secret}`,
      capability: JSON.stringify(capability),
    })),
    endpoint: '127.0.0.1',
    port,
    tls: false,
  };
  const listener = http.createServer((request, response) => {
    request.resume();
    const created = request.method === 'POST';
    const body = created ? JSON.stringify(request.url.startsWith('/apps') ? app : {}) : '';
    response.writeHead(created ? 201 : 204, created ? { 'content-type': 'application/json' } : {});
    response.end(body);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return listener;
}

/// A throw-away folder with the tests of the checkout and the published library.
function prepare() {
  cpSync(join(checkout, 'test'), join(work, 'test'), { recursive: true });
  cpSync(join(HERE, 'node_modules/ably/build'), join(work, 'build'), { recursive: true });
  symlinkSync(join(HERE, 'node_modules'), join(work, 'node_modules'));
  // A submodule of ably-js, of which these tests want only the shape of an app.
  const resources = join(work, 'test/common/ably-common/test-resources');
  mkdirSync(resources, { recursive: true });
  const setup = join(resources, 'test-app-setup.json');
  if (!existsSync(setup)) {
    const zeros = Buffer.alloc(16).toString('base64');
    const cipher = { algorithm: 'aes', mode: 'cbc', keylength: 128, key: zeros, iv: zeros };
    writeFileSync(setup, JSON.stringify({ post_apps: { keys: KEYS.map(() => ({})), namespaces: [] }, cipher }));
  }
  if (json) {
    const environment = join(work, 'test/common/globals/environment.js');
    const text = readFileSync(environment, 'utf8');
    writeFileSync(environment, text.replace(/^ {4}endpoint: ablyEndpoint,/m, '    useBinaryProtocol: false,\n$&'));
  }
}
