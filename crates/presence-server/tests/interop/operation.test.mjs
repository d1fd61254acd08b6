// What an operator relies on: health, metrics, limits, and a stop that hurries nobody.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { KEY, ask, close, realtime, startServer, watch } from './harness.mjs';

const json = (frame) => JSON.stringify(frame);

function socket(port, params = {}, options = {}) {
  const query = new URLSearchParams({ v: 6, format: 'json', key: KEY, ...params });
  return new WebSocket(`ws://127.0.0.1:${port}/?${query}`, options);
}

/// The code of the ERROR or DISCONNECTED that the server sends before it closes.
async function farewell(peer) {
  let code;
  peer.on('message', (data) => {
    const frame = JSON.parse(data);
    if (frame.error && [6, 9].includes(frame.action)) code = frame.error.code;
  });
  await once(peer, 'close');
  return code;
}

test('health, metrics, and errors in the protocol\'s form', async () => {
  const server = await startServer('--metrics-token', 'of the operator');
  const base = `http://127.0.0.1:${server.port}`;
  assert.equal((await fetch(`${base}/healthz`)).status, 200);

  const member = realtime(server.port, { clientId: 'member' });
  await member.channels.get('counted').presence.enter();
  const metrics = (await ask(server.port, '/metrics', { headers: { authorization: 'Bearer of the operator' } })).body.toString();
  assert.match(metrics, /^presence_members\{app="test"\} 1$/m);
  assert.match(metrics, /^presence_transports\{app="test"\} 1$/m);
  assert.match(metrics, /^# TYPE presence_opened_total counter$/m);
  assert.match(metrics, /^presence_misuse_total\{app="test"\} 0$/m);
  assert.match(metrics, /^presence_internal_errors_total\{app="test"\} 0$/m);

  for (const [path, status, code] of [
    ['/nowhere', 404, 40400],
    ['/channels/x/presence', 401, 40101],
    [`/channels/x/presence?key=${KEY}&limit=1001`, 400, 40003],
    [`/channels/x/presence?key=${KEY}&limit=many`, 400, 40003],
    [`/channels/x/presence/history?key=${KEY}&direction=up`, 400, 40003],
  ]) {
    const response = await fetch(base + path);
    assert.equal(response.status, status, path);
    assert.equal(response.headers.get('x-ably-errorcode'), String(code), path);
    assert.equal((await response.json()).error.code, code, path);
  }
  await close(member);
  await server.stop();
});

test('a misbehaving peer loses its connection and affects nobody else', async () => {
  const server = await startServer('--origin', 'https://example.com', '--max-connections', '4');
  const alice = realtime(server.port, { clientId: 'alice' });
  const seen = await watch(alice.channels.get('calm'));

  const garbage = socket(server.port);
  garbage.once('message', () => garbage.send('{"action":'));
  assert.equal(await farewell(garbage), 40000);

  const giant = socket(server.port);
  giant.once('message', () => giant.send(json({ action: 14, data: 'x'.repeat(600_000) })));
  giant.on('error', () => {});
  await once(giant, 'close');

  const foreign = socket(server.port, {}, { origin: 'https://example.org' });
  const [refused] = await once(foreign, 'error');
  assert.match(refused.message, /403/);
  const allowed = socket(server.port, {}, { origin: 'https://example.com' });
  await once(allowed, 'message');

  // Two are open; two more are let in, and a fifth is not.
  const more = [socket(server.port), socket(server.port)];
  await Promise.all(more.map((peer) => once(peer, 'message')));
  const fifth = socket(server.port);
  const [full] = await once(fifth, 'error');
  assert.match(full.message, /503/);
  for (const peer of [allowed, ...more]) peer.terminate();

  await alice.channels.get('calm').presence.enter('still here');
  await seen.until((event) => event.data === 'still here');
  assert.deepEqual(seen.told(), ['alice enter']);
  await close(alice);
  await server.stop();
});

test('SIGTERM disconnects the connections, and the server ends with success', async () => {
  const server = await startServer('--drain-seconds', '1');
  const clients = Array.from({ length: 5 }, (_, i) => realtime(server.port, { clientId: `client-${i}` }));
  await Promise.all(clients.map((client) => client.channels.get('drained').presence.enter()));
  const gone = clients.map((client) => new Promise((resolve) => client.connection.once('disconnected', resolve)));
  const [code] = await server.stop('SIGTERM');
  assert.equal(code, 0);
  await Promise.all(gone);
  for (const client of clients) client.close();
});
