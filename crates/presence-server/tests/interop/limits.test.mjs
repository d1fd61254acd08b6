// What does not end: requests, answers that nobody reads, upgrades. Each holds one of few slots, for
// a limited time, and health checks have slots of their own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { ask, attached, connect, shout, startServer, startServerUnder, upgradeHead } from './harness.mjs';

const MOST = 50;
const MORE = 10;
const STALLED = MOST + MORE;
const TOKEN = { headers: { authorization: 'Bearer of-the-operator' } };

const start = () => startServer('--max-connections', String(MOST), '--metrics-token', 'of-the-operator',
  '--request-seconds', '2', '--write-seconds', '2', '--http-seconds', '2');

/// Connections that have sent `text` and never close: { sockets, all }. Unless they are paused, `all`
/// is what each got before the server closed it.
async function stalled(port, text, { paused = false } = {}) {
  const sockets = [];
  const all = [];
  for (let i = 0; i < STALLED; i += 1) {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    let got = '';
    if (paused) socket.pause();
    else socket.setEncoding('latin1').on('data', (more) => { got += more; });
    all.push(new Promise((resolve) => { for (const end of ['end', 'close']) socket.once(end, () => resolve(got)); }));
    await once(socket, 'connect');
    socket.write(text);
    sockets.push(socket);
  }
  return { sockets, all: Promise.all(all) };
}

/// Asks until the answer has this status.
async function until(port, path, status) {
  for (;;) {
    const response = await ask(port, path);
    if (response.status === status) return response;
  }
}

const unread = 'GET /presence.wasm HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(100);
const body = 'content-type: application/json\r\ncontent-length: 100\r\n\r\n{';

for (const [what, text, options] of [
  ['nothing', ''],
  ['half a head', 'GET / HTTP/1.1\r\nhost:'],
  ['a body without an end', `POST /keys/test.key/requestToken HTTP/1.1\r\nhost: x\r\n${body}`, { answer: /^HTTP\/1.1 408 .*x-ably-errorcode: 50003/s }],
  ['a body in chunks without an end', 'POST /keys/test.key/requestToken HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n', { answer: /^HTTP\/1.1 408 / }],
  ['a body that nobody wants', `GET /time HTTP/1.1\r\nhost: x\r\n${body}`, { answer: /^HTTP\/1.1 200 / }],
  ['answers that are not read', unread, { paused: true }],
  ['an upgrade behind answers that are not read', unread + upgradeHead(), { paused: true }],
  ['an upgrade that is refused, and not closed', upgradeHead({ key: 'no.key:at-all' })],
]) {
  test(`${what}: health checks are answered meanwhile, and others are served afterwards`, async () => {
    const server = await start();
    const { sockets, all } = await stalled(server.port, text, options);
    const refused = await until(server.port, '/time', 503);
    assert.equal(JSON.parse(refused.body).error.code, 50003);
    assert.equal((await ask(server.port, '/healthz')).status, 200);
    assert.match((await ask(server.port, '/metrics', TOKEN)).body.toString(), /^presence_misuse_total\{app="test"\} 0$/m);

    await until(server.port, '/time', 200);
    if (!options?.paused) {
      const answers = await all;
      const { answer } = options ?? {};
      if (answer) assert.ok(answers.filter((got) => answer.test(got)).length >= MOST, 'each was told');
    }
    for (const socket of sockets) socket.destroy();
    await server.stop();
  });
}

test('a connection with endless requests is closed between two of them', async () => {
  const server = await start();
  const socket = net.connect({ port: server.port, host: '127.0.0.1' }).setEncoding('latin1');
  // It may be closed just when the next request is on its way.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => { socket.once('close', resolve); });
  const requestOne = () => socket.write('GET /time HTTP/1.1\r\nhost: x\r\n\r\n');
  let answers = 0;
  socket.on('data', () => {
    answers += 1;
    if (socket.writable) requestOne();
  });
  requestOne();
  await closed;
  assert.ok(answers > 1);
  await server.stop();
});

test('a WebSocket outlives the time limit of HTTP', async () => {
  const server = await start();
  const { peer, ended } = await connect(server.port);
  // Another connection, which has only that time, comes to its end after it.
  const idle = net.connect({ port: server.port, host: '127.0.0.1' }).resume();
  await once(idle, 'close');
  const pong = once(peer, 'pong');
  peer.ping();
  await pong;
  peer.close(1000);
  assert.equal((await ended).code, 1000);
  await server.stop();
});

test('a WebSocket whose peer does not read is closed', async () => {
  const server = await start();
  const slow = await attached(server.port, 'loud');
  slow.peer.pause();
  const loud = await attached(server.port, 'loud', { clientId: 'loud' });
  await shout(loud, 'loud');
  let told;
  do told = (await ask(server.port, '/metrics', TOKEN)).body.toString(); while (!/^presence_transports\{app="test"\} 1$/m.test(told));
  slow.peer.terminate();
  loud.peer.terminate();
  await server.stop();
});

test('the soft limit of open files is raised for the connections', async () => {
  const server = await startServerUnder('ulimit -Sn 64', '--max-connections', '200');
  const clients = await Promise.all(Array.from({ length: 200 }, () => connect(server.port)));
  assert.equal((await ask(server.port, '/time')).status, 503);
  assert.equal((await ask(server.port, '/healthz')).status, 200);
  assert.equal(server.said(), '');
  for (const { peer } of clients) peer.terminate();
  await server.stop();
});

test('with a lower hard limit of open files the server logs it and accepts fewer connections', async () => {
  const server = await startServerUnder('ulimit -n 228', '--max-connections', '200');
  const clients = await Promise.all(Array.from({ length: 100 }, () => connect(server.port)));
  assert.equal((await ask(server.port, '/time')).status, 503);
  assert.equal((await ask(server.port, '/healthz')).status, 200);
  assert.match(server.said(), /the system allows 228 open files: the server accepts at most 100 connections, not 200/);
  assert.doesNotMatch(server.said(), /cannot accept/);
  for (const { peer } of clients) peer.terminate();
  await server.stop();
});

test('the server does not start without open files for a connection', async () => {
  await assert.rejects(startServerUnder('ulimit -n 100'), /ended with 1/);
});
