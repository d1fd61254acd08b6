// Apps are apart: what belongs to one cannot be seen, reached or used up from another.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { Action, KEY, SERVER, ask, attached, close, connect, jwt, realtime, rest, startServer, startServerUnder, watch } from './harness.mjs';

// KEY is of the app `test`.
const SAME = 'test.other:secret-of-another-key';
const OTHER = 'other.key:secret-of-another-app';
const BOTH = ['--key', SAME, '--key', OTHER];

/// A token of a key, good for an hour.
const tokenOf = (key, claims) => jwt(key, { exp: Math.floor(Date.now() / 1000) + 3600, ...claims });

/// The first frame of a connection, whatever it is.
async function bare(port, params) {
  const peer = new WebSocket(`ws://127.0.0.1:${port}/?${new URLSearchParams({ v: 6, format: 'json', ...params })}`);
  const [frame] = await once(peer, 'message');
  peer.terminate();
  return JSON.parse(frame);
}

const members = async (port, channel, key) => {
  const { items } = await rest(port, { key }).channels.get(channel).presence.get();
  return items.map(({ clientId }) => clientId).sort();
};

const entered = (events) => events.map(({ clientId }) => clientId).sort();

test('keys of one app share a channel; keys of another app have a separate one of the same name', async () => {
  const server = await startServer(...BOTH, '--metrics-token', 'of-the-operator');
  const clients = {
    ann: realtime(server.port, { clientId: 'ann' }),
    bob: realtime(server.port, { key: SAME, clientId: 'bob' }),
    eve: realtime(server.port, { key: OTHER, clientId: 'eve' }),
  };
  const seen = {};
  for (const [name, client] of Object.entries(clients)) seen[name] = await watch(client.channels.get('room'));
  for (const [name, client] of Object.entries(clients)) await client.channels.get('room').presence.enter(`${name} is here`);
  await seen.ann.until((event) => event.clientId === 'bob');
  // Messages are apart as well.
  const messages = [];
  await clients.eve.channels.get('room').subscribe((message) => messages.push(message.data));
  await clients.ann.channels.get('room').publish('said', 'in test');
  await clients.eve.channels.get('room').publish('said', 'in other');
  // Whatever was told to eve has come by the time that this has.
  await clients.eve.channels.get('room').presence.update('still here');
  await seen.eve.until((event) => event.data === 'still here');

  assert.deepEqual(entered(await clients.ann.channels.get('room').presence.get()), ['ann', 'bob']);
  assert.deepEqual(entered(await clients.eve.channels.get('room').presence.get()), ['eve']);
  assert.deepEqual([...new Set(seen.eve.events.map(({ clientId }) => clientId))], ['eve']);
  assert.ok(!seen.ann.events.some(({ clientId }) => clientId === 'eve'));
  assert.ok(!messages.includes('in test'));

  // Over REST, for members and for what happened.
  assert.deepEqual(await members(server.port, 'room', KEY), ['ann', 'bob']);
  assert.deepEqual(await members(server.port, 'room', SAME), ['ann', 'bob']);
  assert.deepEqual(await members(server.port, 'room', OTHER), ['eve']);
  const history = async (key) => (await rest(server.port, { key }).channels.get('room').presence.history()).items;
  assert.deepEqual(entered(await history(KEY)), ['ann', 'bob']);
  assert.deepEqual(entered(await history(OTHER)), ['eve', 'eve']);

  // A token is of the app of the key that it names, and so is a token that was asked for.
  const withToken = await ask(server.port, `/channels/room/presence?accessToken=${tokenOf(OTHER)}`);
  assert.deepEqual(JSON.parse(withToken.body).map(({ clientId }) => clientId), ['eve']);
  const details = await rest(server.port, { key: OTHER }).auth.requestToken();
  const withDetails = await rest(server.port, { key: undefined, tokenDetails: details }).channels.get('room').presence.get();
  assert.deepEqual(withDetails.items.map(({ clientId }) => clientId), ['eve']);

  // What is counted is counted by app.
  const metrics = (await ask(server.port, '/metrics', { headers: { authorization: 'Bearer of-the-operator' } })).body.toString();
  assert.match(metrics, /^presence_members\{app="test"\} 2$/m);
  assert.match(metrics, /^presence_members\{app="other"\} 1$/m);
  assert.equal(metrics.match(/^# TYPE presence_members gauge$/mg).length, 1);
  await close(...Object.values(clients));
  await server.stop();
});

for (const how of ['resume', 'recover']) {
  test(`to ${how} a connection of another app starts a new one, as with any unknown key`, async () => {
    const server = await startServer(...BOTH);
    const owner = await attached(server.port, 'room', { clientId: 'me' });
    owner.send({ action: Action.PRESENCE, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
    await owner.next((frame) => frame.action === Action.ACK);
    const { connectionId, connectionDetails: { connectionKey } } = owner.connected;

    const thief = await connect(server.port, { key: OTHER, clientId: 'me', [how]: connectionKey });
    assert.notEqual(thief.connected.connectionId, connectionId);
    assert.equal(thief.connected.error.code, 80018);
    assert.equal(owner.peer.readyState, owner.peer.OPEN);
    assert.deepEqual(await members(server.port, 'room', KEY), ['me']);

    // The app itself can, with whatever key.
    const back = await connect(server.port, { key: SAME, clientId: 'me', [how]: connectionKey });
    assert.deepEqual([back.connected.connectionId, back.connected.error], [connectionId, undefined]);
    for (const { peer } of [thief, back]) peer.terminate();
    await server.stop();
  });
}

test('a token of another app ends the connection', async () => {
  const server = await startServer(...BOTH);
  const { send, next, ended } = await connect(server.port, { clientId: 'me' });
  send({ action: Action.AUTH, auth: { accessToken: tokenOf(SAME, { 'x-ably-clientId': 'me' }) } });
  await next((frame) => frame.action === Action.CONNECTED);
  send({ action: Action.AUTH, auth: { accessToken: tokenOf(OTHER, { 'x-ably-clientId': 'me' }) } });
  const { error } = await next((frame) => frame.action === Action.ERROR);
  assert.deepEqual([error.code, error.statusCode], [40102, 401]);
  await ended;
  await server.stop();
});

test('the secret of a key is valid in its own app only', async () => {
  const server = await startServer(...BOTH);
  const [, secret] = KEY.split(':');
  for (const key of [`other.key:${secret}`, `none.key:${secret}`, 'test.other:' + OTHER.split(':')[1]]) {
    const answer = await ask(server.port, `/channels/room/presence?key=${encodeURIComponent(key)}`);
    assert.deepEqual([answer.status, answer.headers['x-ably-errorcode']], [401, '40101'], key);
    const forged = await ask(server.port, `/channels/room/presence?accessToken=${tokenOf(key)}`);
    assert.deepEqual([forged.status, forged.headers['x-ably-errorcode']], [401, '40144'], key);
  }
  const [name] = OTHER.split(':');
  const basic = { authorization: `Basic ${btoa(KEY)}`, 'content-type': 'application/json' };
  const asked = await ask(server.port, `/keys/${name}/requestToken`, { method: 'POST', headers: basic, body: '{}' });
  assert.deepEqual([asked.status, asked.headers['x-ably-errorcode']], [401, '40101']);
  await server.stop();
});

test('channel limits apply per app', async () => {
  const server = await startServer(...BOTH, '--max-members', '1');
  const one = realtime(server.port, { clientId: 'one' });
  const two = realtime(server.port, { clientId: 'two' });
  const other = realtime(server.port, { key: OTHER, clientId: 'other' });
  await one.channels.get('full').presence.enter();
  await assert.rejects(two.channels.get('full').presence.enter(), { code: 91003 });
  await other.channels.get('full').presence.enter();
  await close(one, two, other);
  await server.stop();
});

test('connection limits apply per app', async () => {
  const server = await startServer(...BOTH, '--max-app-connections', '2');
  const mine = [await connect(server.port), await connect(server.port, { key: SAME })];
  const refused = await bare(server.port, { key: KEY });
  assert.deepEqual([refused.action, refused.error.code], [Action.DISCONNECTED, 50003]);
  const others = [await connect(server.port, { key: OTHER }), await connect(server.port, { key: OTHER })];
  for (const { peer } of [...mine, ...others]) peer.terminate();
  await server.stop();
});

test('in every app grace periods end, and a stopping server informs the connections', async () => {
  const server = await startServer(...BOTH, '--drain-seconds', '0');
  for (const key of [KEY, OTHER]) {
    const watcher = realtime(server.port, { key, clientId: 'watcher' });
    const seen = await watch(watcher.channels.get('room'));
    const gone = await attached(server.port, 'room', { key, clientId: 'gone', remainPresentFor: 1000 });
    gone.send({ action: Action.PRESENCE, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
    await seen.until(({ clientId, action }) => clientId === 'gone' && action === 'enter');
    gone.peer.terminate();
    await seen.until(({ clientId, action }) => clientId === 'gone' && action === 'leave');
    await close(watcher);
  }
  const clients = await Promise.all([KEY, SAME, OTHER].map((key) => connect(server.port, { key })));
  const [[status], ends] = await Promise.all([server.stop('SIGTERM'), Promise.all(clients.map(({ ended }) => ended))]);
  assert.equal(status, 0);
  for (const { frames, code } of ends) assert.deepEqual([frames.at(-1), code], [Action.DISCONNECTED, 1001]);
});

test('the stores of apps are separate, also in the next run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  const options = [...BOTH, '--persist', join(folder, 'history')];
  const told = async (port, key) => (await rest(port, { key }).channels.get('room').presence.history({ direction: 'forwards' }))
    .items.map(({ clientId, action }) => `${clientId} ${action}`);
  const first = await startServer(...options);
  const keys = {};
  for (const [key, clientId] of [[KEY, 'ann'], [OTHER, 'eve']]) {
    const client = await attached(first.port, 'room', { key, clientId });
    client.send({ action: Action.PRESENCE, channel: 'room', msgSerial: 0, presence: [{ action: 2 }] });
    await client.next((frame) => frame.action === Action.ACK);
    keys[key] = client.connected.connectionDetails.connectionKey;
  }
  assert.deepEqual(await told(first.port, KEY), ['ann enter']);
  assert.deepEqual(await told(first.port, OTHER), ['eve enter']);
  await first.stop();

  const second = await startServer(...options);
  assert.deepEqual(await told(second.port, KEY), ['ann enter', 'ann leave']);
  assert.deepEqual(await told(second.port, OTHER), ['eve enter', 'eve leave']);
  // Its own key of the last run has expired; that of the other app was never good.
  for (const [resume, code] of [[keys[KEY], 80008], [keys[OTHER], 80018]]) {
    const clientId = resume === keys[KEY] ? 'ann' : 'eve';
    const { connected, peer } = await connect(second.port, { resume, clientId });
    assert.equal(connected.error.code, code);
    peer.terminate();
  }
  await second.stop();
  rmSync(folder, { recursive: true });
});

test('when the store fails, the connections of all apps are informed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  // Files may have 4 MiB, and more is an error.
  const server = await startServerUnder("trap '' XFSZ && ulimit -f 8192", ...BOTH, '--persist', join(folder, 'history'));
  const { send, ended } = await attached(server.port, 'kept', { clientId: 'kept' });
  const idle = await connect(server.port, { key: OTHER });
  const exited = once(server.process, 'exit');
  for (let msgSerial = 0; msgSerial < 200; msgSerial += 1) {
    send({ action: Action.PRESENCE, channel: 'kept', msgSerial, presence: [{ action: 4, data: 'x'.repeat(50_000) }] });
  }
  assert.equal((await ended).code, 1011);
  assert.deepEqual((({ frames, code }) => [frames.at(-1), code])(await idle.ended), [Action.DISCONNECTED, 1001]);
  const [status] = await exited;
  assert.equal(status, 1);
  rmSync(folder, { recursive: true });
});

test('malformed and duplicate keys are refused at start with a clear error', () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  const file = join(folder, 'keys.json');
  writeFileSync(file, JSON.stringify([{ name: 'test.key', secret: 'hidden' }]));
  const nodot = join(folder, 'nodot.json');
  writeFileSync(nodot, JSON.stringify([{ name: 'nodot', secret: 'hidden' }]));
  for (const [options, words] of [
    [['--key', 'nodot:hidden'], [/nodot/, /APP\.KEY/]],
    [['--key', 'a.b.c:hidden'], [/a\.b\.c/, /APP\.KEY/]],
    [['--key', 'a.b:ok', '--key', 'hidden'], [/--key number 2/, /APP\.KEY:SECRET/]],
    [['--key', 'a.b:hidden', '--key', 'a.b:hidden'], [/two keys of the name a\.b/]],
    [['--keys', nodot], [/nodot\.json/, /key name nodot/, /APP\.KEY/]],
    [['--keys', file, '--key', 'test.key:hidden'], [/keys\.json/, /two keys of the name test\.key/]],
  ]) {
    const { status, stderr, stdout } = spawnSync(SERVER, ['--port', '0', ...options], { encoding: 'utf8', timeout: 10_000 });
    assert.equal(status, 1, options.join(' '));
    for (const word of words) assert.match(stderr, word);
    assert.doesNotMatch(stderr + stdout, /hidden/);
  }
  rmSync(folder, { recursive: true });
});
