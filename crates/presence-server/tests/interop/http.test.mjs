// HTTP as strangers meet it: whatever is refused is refused in the protocol's form, in the format
// that was asked for; what is the operator's is not told to others; browsers are told what to allow.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { KEY, ask, connect, startServer } from './harness.mjs';

const TOKEN = 'of-the-operator';
const bearer = (token) => ({ authorization: `Bearer ${token}` });
const UPGRADE = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
const post = (body, headers = {}) => ({ method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });

const refusals = [
  ['/nowhere', {}, 404, 40400],
  ['/channels/x', {}, 404, 40400],
  ['/%ff', {}, 404, 40400],
  ['/channels/%ff/presence', {}, 400, 40000],
  ['/channels/%ff/presence/history', {}, 400, 40000],
  ['/keys/%ff/requestToken', post('{}'), 400, 40000],
  ['/', { method: 'DELETE' }, 405, 40500],
  ['/time', { method: 'POST' }, 405, 40500],
  ['/healthz', { method: 'PUT' }, 405, 40500],
  ['/metrics', { method: 'POST', headers: bearer(TOKEN) }, 405, 40500],
  ['/channels/x/presence', { method: 'PATCH' }, 405, 40500],
  ['/channels/x/presence', { method: 'x-unknown' }, 405, 40500],
  ['/keys/test.key/requestToken', {}, 405, 40500],
  ['/keys/test.key/requestToken', post('x'.repeat(100_000)), 413, 40009],
  ['/keys/test.key/requestToken', { method: 'POST', body: 'x'.repeat(100_000), headers: { 'transfer-encoding': 'chunked' } }, 413, 40009],
  ['/keys/test.key/requestToken', post('{'), 400, 40001],
  ['/keys/test.key/requestToken', post('[]'), 400, 40001],
  ['/keys/test.key/requestToken', post('{}', { 'content-type': 'application/x-msgpack' }), 400, 40001],
  ['/keys/test.key/requestToken', post('{}'), 401, 40101],
  ['/keys/test.key/requestToken', post('{', { 'content-length': '2' }), 408, 50003],
  ['/channels/x/presence', {}, 401, 40101],
  [`/channels/x/presence?key=${KEY}&limit=1001`, {}, 400, 40003],
  [`/channels/x/presence?key=${KEY}&limit=many`, {}, 400, 40003],
  [`/channels/x/presence?key=${KEY}&limit=%ff`, {}, 400, 40003],
  [`/channels/x/presence/history?key=${KEY}&direction=up`, {}, 400, 40003],
  ['/metrics', {}, 401, 40101],
  ['/metrics', { headers: bearer('another') }, 401, 40101],
  ['/metrics', { headers: { authorization: `Basic ${btoa(KEY)}` } }, 401, 40101],
  ['/', { headers: { ...UPGRADE, origin: 'https://example.org' } }, 403, 40300],
  ['/', { headers: { ...UPGRADE, 'sec-websocket-version': '12' } }, 400, 40000],
  ['/', { headers: { ...UPGRADE, 'sec-websocket-key': [] } }, 400, 40000],
  ['/', { headers: { ...UPGRADE, upgrade: 'h2c' } }, 400, 40000],
];

for (const [format, type, accepted] of [
  ['JSON', 'application/json', {}],
  ['MessagePack', 'application/x-msgpack', { accept: 'application/x-msgpack' }],
]) {
  test(`errors have the protocol's form, in ${format}`, async () => {
    const server = await startServer('--request-seconds', '1', '--metrics-token', TOKEN, '--origin', 'https://example.com');
    for (const [path, options, status, code] of refusals) {
      const what = `${options.method ?? 'GET'} ${path} ${JSON.stringify(options.headers ?? {})}`;
      const answer = await ask(server.port, path, { ...options, headers: { ...options.headers, ...accepted } });
      assert.equal(answer.status, status, what);
      assert.equal(answer.headers['x-ably-errorcode'], String(code), what);
      assert.equal(answer.headers['content-type'], type, what);
      if (format === 'JSON') {
        const { error } = JSON.parse(answer.body);
        assert.deepEqual([error.code, error.statusCode], [code, status], what);
        assert.equal(answer.headers['x-ably-errormessage'], error.message, what);
      } else {
        // A map of one, whose key is `error`.
        assert.equal(answer.body.subarray(0, 7).toString('latin1'), '\x81\xa5error', what);
      }
      if (status === 405) assert.ok(answer.headers.allow, what);
    }
    await server.stop();
  });
}

test('a refused HEAD request has no body', async () => {
  const server = await startServer();
  const answer = await ask(server.port, '/nowhere', { method: 'HEAD' });
  assert.deepEqual([answer.status, answer.body.length], [404, 0]);
  await server.stop();
});

test('pages of other origins may read errors', async () => {
  const server = await startServer();
  for (const path of ['/nowhere', '/channels/%ff/presence', '/channels/x/presence']) {
    const { headers } = await ask(server.port, path, { headers: { origin: 'https://example.com' } });
    assert.equal(headers['access-control-allow-origin'], '*', path);
    assert.match(headers['access-control-expose-headers'], /x-ably-errorcode/, path);
  }
  await server.stop();
});

test('a body that is too long is answered before it has ended', async () => {
  const server = await startServer();
  const socket = net.connect({ port: server.port, host: '127.0.0.1' });
  let got = '';
  socket.setEncoding('latin1').on('data', (more) => { got += more; });
  await once(socket, 'connect');
  socket.write('POST /keys/none/requestToken HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n');
  socket.end('x'.repeat(8_000_000));
  // A reset, which can take the answer back, is an error.
  await once(socket, 'close');
  assert.match(got, /^HTTP\/1.1 413 /);
  await server.stop();
});

test('metrics require the token or their address; health checks are open', async () => {
  const told = /^presence_misuse_total\{app="test"\} 0$/m;
  for (const [options, onMain, withToken, onOwn, ownWithToken] of [
    [[], 403, 403],
    [['--metrics-token', TOKEN], 401, 200],
    [['--metrics-listen', '127.0.0.1:0'], 403, 403, 200, 200],
    [['--metrics-listen', '127.0.0.1:0', '--metrics-token', TOKEN], 401, 200, 401, 200],
  ]) {
    const server = await startServer(...options);
    for (const [port, headers, status] of [
      [server.port, {}, onMain],
      [server.port, { 'x-forwarded-for': '127.0.0.1' }, onMain],
      [server.port, bearer(TOKEN), withToken],
      [server.metricsPort, {}, onOwn],
      [server.metricsPort, bearer(TOKEN), ownWithToken],
    ]) {
      if (status === undefined) continue;
      const answer = await ask(port, '/metrics', { headers });
      assert.equal(answer.status, status, options.join(' '));
      assert.equal(told.test(answer.body), status === 200);
    }
    assert.equal((await ask(server.port, '/healthz')).status, 200);
    if (server.metricsPort) {
      assert.equal((await ask(server.metricsPort, '/healthz')).status, 200);
      const nothingElse = await ask(server.metricsPort, `/channels/x/presence?key=${KEY}`);
      assert.deepEqual([nothingElse.status, nothingElse.headers['x-ably-errorcode']], [404, '40400']);
    }
    await server.stop();
  }
});

test('metrics are served during a drain', async () => {
  const server = await startServer('--metrics-listen', '127.0.0.1:0', '--drain-seconds', '3600');
  // Two clients, so that draining goes on after the first.
  const clients = [await connect(server.port), await connect(server.port)];
  const stopped = server.stop('SIGTERM');
  await Promise.race(clients.map(({ ended }) => ended));
  const answer = await ask(server.metricsPort, '/metrics');
  assert.match(answer.body.toString(), /^presence_transports\{app="test"\} 1$/m);
  for (const { peer } of clients) peer.close();
  await stopped;
});

test('every response has security headers and is not cached', async () => {
  const server = await startServer('--metrics-listen', '127.0.0.1:0');
  const pages = ['/', '/style.css', '/app.js', '/presence.js', '/presence.wasm'];
  const others = ['/page.json', '/time', '/healthz', '/metrics', '/nowhere', '/channels/%ff/presence', `/channels/x/presence?key=${KEY}`];
  for (const path of [...pages, ...others]) {
    for (const port of [server.port, server.metricsPort]) {
      const { status, headers } = await ask(port, path);
      const policy = headers['content-security-policy'] ?? '';
      assert.match(policy, /^default-src 'none';/, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /'unsafe-inline'|'unsafe-eval'|\*/, path);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers['referrer-policy'], 'no-referrer', path);
      const isPage = status === 200 && pages.includes(path);
      assert.equal(headers['cache-control'], isPage ? 'no-cache' : 'no-store', path);
      if (isPage) assert.match(policy, /script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self';/, path);
    }
  }
  await server.stop();
});
