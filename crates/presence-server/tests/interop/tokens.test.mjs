// Tokens that others made: how long they are good, and what is said of those that are not.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { Action, KEY, SERVER, ask, connect, jwt, realtime, rest, startServer } from './harness.mjs';

const [NAME, SECRET] = KEY.split(':');
const DAY = 24 * 3600;
const now = () => Math.floor(Date.now() / 1000);

let server;
before(async () => { server = await startServer(); });
after(() => server.stop());

/// What a token gets, over REST and on a WebSocket: the code of the error, or null.
async function codes(token) {
  const answer = await ask(server.port, '/channels/x/presence', { headers: { authorization: `Bearer ${token}` } });
  const peer = new WebSocket(`ws://127.0.0.1:${server.port}/?v=6&format=json&accessToken=${token}`);
  const [frame] = await once(peer, 'message');
  peer.terminate();
  const { error } = JSON.parse(frame);
  return [answer.status === 200 ? null : Number(answer.headers['x-ably-errorcode']), error?.code ?? null];
}

test('a token is valid between its nbf and exp, for at most a day', async () => {
  for (const [claims, code] of [
    [{ exp: now() + 60 }, null],
    [{ exp: now() + 60.5 }, null],
    [{ iat: now() - 0.25, nbf: now() - 0.75, exp: Date.now() / 1000 + 60 }, null],
    [{ iat: now(), exp: now() + DAY }, null],
    // Clocks may differ a little.
    [{ iat: now() + 30, nbf: now() + 30, exp: now() + 90 }, null],
    [{ exp: now() - 0.5 }, 40142],
    [{ nbf: now() + 3000, exp: now() + 3600 }, 40144],
    [{ iat: now() + 3000, exp: now() + 3600 }, 40144],
    [{ iat: now(), exp: now() + DAY + 1 }, 40144],
    [{ iat: now() - DAY, exp: now() + 60 }, 40144],
    [{ exp: now() + 2 * DAY }, 40144],
    [{ exp: 1e300 }, 40144],
    [{ iat: now() }, 40144],
    [{ exp: 'soon' }, 40144],
  ]) assert.deepEqual(await codes(jwt(KEY, claims)), [code, code], JSON.stringify(claims));
});

test('a renewed token has the same limits', async () => {
  const { send, next } = await connect(server.port, { clientId: 'me' });
  send({ action: Action.AUTH, auth: { accessToken: jwt(KEY, { exp: now() + 60.5, 'x-ably-clientId': 'me' }) } });
  await next((frame) => frame.action === Action.CONNECTED);
  send({ action: Action.AUTH, auth: { accessToken: jwt(KEY, { nbf: now() + 3000, exp: now() + 3600 }) } });
  assert.equal((await next((frame) => frame.error)).error.code, 40144);
});

test('ably-js connects with a token whose times have fractions of seconds', async () => {
  const client = realtime(server.port, { key: undefined, authCallback: (_, done) => done(null, jwt(KEY, { iat: Date.now() / 1000, exp: Date.now() / 1000 + 60, 'x-ably-clientId': 'me' })) });
  await client.channels.get('x').presence.enter();
  client.close();
  const details = await rest(server.port).auth.requestToken({ ttl: DAY * 1000 });
  assert.deepEqual(await codes(details.token), [null, null]);
});

/// A signed request for a token.
function requestWith(nonce, more = {}) {
  const request = { keyName: NAME, ttl: '', capability: '', clientId: '', timestamp: Date.now(), nonce, ...more };
  const text = `${['keyName', 'ttl', 'capability', 'clientId', 'timestamp', 'nonce'].map((name) => request[name]).join('\n')}\n`;
  return { ...request, mac: createHmac('sha256', SECRET).update(text).digest('base64') };
}

const post = (body, type = 'application/json') => ask(server.port, `/keys/${NAME}/requestToken`, { method: 'POST', headers: { 'content-type': type }, body });

test('the nonce of a token request has at least sixteen characters', async () => {
  for (const [nonce, status] of [['x'.repeat(16), 201], ['y'.repeat(40), 201], ['x'.repeat(15), 400], ['x', 400], ['', 400], ['é'.repeat(15), 400]]) {
    const answer = await post(JSON.stringify(requestWith(nonce)));
    assert.equal(answer.status, status, nonce);
    if (status === 400) assert.equal(answer.headers['x-ably-errorcode'], '40003');
  }
});

// What serde, its formats, jsonwebtoken, axum, tungstenite and redb say of errors.
const INNER = /, expected|expected (one|value|ident|`|,|:)|invalid (type|value|digit|length|token|gzip)|unknown variant|missing field|did not match any|untagged|EOF|trailing|recursion|control character|Marker|TypeMismatch|InvalidToken|InvalidSignature|Base64|sequence|integer|float literal|did not include|deserialize|os error|serde|rmp|Error\(/i;

test('errors are in plain words and show no parser messages', async () => {
  const told = [];
  const tell = ({ body }) => told.push(JSON.parse(body).error.message);
  const b64 = (text) => Buffer.from(text).toString('base64url');
  const head = (more) => b64(JSON.stringify({ alg: 'HS256', kid: NAME, ...more }));

  // Tokens.
  for (const token of [
    'rubbish', 'a.b.c', '..', '.', `${b64('{')}.e30.AAAA`, `${b64('[]')}.e30.AAAA`, `${b64('\xff')}.e30.AAAA`, `${head({ alg: 'none' })}.e30.`,
    `${head({ alg: 'RS256' })}.e30.AAAA`, `${head({ alg: 1 })}.e30.AAAA`, `${head({ kid: 1 })}.e30.AAAA`, `${head({ kid: undefined })}.e30.AAAA`,
    `${head({ kid: 'nodot' })}.e30.AAAA`, `${head()}.e30.AAAA`, `${head()}.!.!`, `${head()}.e30`,
    jwt(KEY, {}), jwt(KEY, { exp: [] }), jwt(KEY, { exp: now() + 60, iat: 'x' }), jwt(KEY, { exp: now() + 60, 'x-ably-clientId': 5 }),
    jwt(KEY, { exp: now() + 60, 'x-ably-capability': {} }), jwt(KEY, { exp: now() + 60, 'x-ably-capability': '{' }), jwt(KEY, { exp: now() + 60, 'x-ably-capability': '[1]' }), jwt(KEY, [1]),
  ]) tell(await ask(server.port, `/channels/x/presence?accessToken=${encodeURIComponent(token)}`));

  // Bodies.
  for (const body of [
    '', '{', '[]', '1', 'nul', '{"ttl":1.5}', '{"ttl":"x"}', '{"ttl":[]}', '{"keyName":1}', '{"capability":1}', '{"capability":"{"}', '{"capability":{"a":1}}',
    '{"timestamp":{}}', '{"mac":1}', '{"nonce":[]}', '{"mac":"!"}', `${'['.repeat(500)}`,
  ]) tell(await post(body));
  for (const body of ['', '\xc1', '\x81', '\x81\xa3ttl\xc4\x01x', '\x81\x01\x01', '\x81\xa3ttl\xcb\x3f\xf8\0\0\0\0\0\0', '\x91'.repeat(3000), `\x81\xa3ttl${'\x91'.repeat(3000)}`]) {
    tell(await ask(server.port, `/keys/${NAME}/requestToken?format=json`, { method: 'POST', headers: { 'content-type': 'application/x-msgpack' }, body: Buffer.from(body, 'latin1') }));
  }

  // Parameters and headers.
  const as = `key=${KEY}`;
  for (const query of ['limit=x', 'limit=-1', 'limit=1.5', 'limit=99999999999999999999', 'after=x', 'limit=%ff']) tell(await ask(server.port, `/channels/x/presence?${as}&${query}`));
  for (const query of ['start=x', 'end=1.5', 'direction=x', 'after=x', 'fromSerial=x']) tell(await ask(server.port, `/channels/x/presence/history?${as}&${query}`));
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  for (const [name, value] of [['connection', 'close'], ['upgrade', 'h2c'], ['sec-websocket-version', '12'], ['sec-websocket-key', undefined]]) {
    const headers = { ...upgrade, [name]: value };
    if (value === undefined) delete headers[name];
    tell(await ask(server.port, '/', { headers }));
  }

  // Connections, and frames on them.
  for (const params of [{ v: 'x' }, { v: '1.2.3' }, { remainPresentFor: 'x' }, { heartbeatInterval: '1.5' }, { clientId: '*' }, { accessToken: 'x' }]) {
    const peer = new WebSocket(`ws://127.0.0.1:${server.port}/?${new URLSearchParams({ v: 6, format: 'json', key: KEY, ...params })}`);
    const [frame] = await once(peer, 'message');
    peer.terminate();
    if (JSON.parse(frame).error) told.push(JSON.parse(frame).error.message);
  }
  for (const frame of ['', '{', '[]', '1', '{"action":"x"}', '{"action":14,"presence":5}', '{"action":14,"presence":[{"action":[]}]}', '{"action":10,"params":[1]}', '{"action":17,"auth":5}']) {
    const { peer, next } = await connect(server.port);
    peer.send(frame);
    told.push((await next(({ error }) => error)).error.message);
    peer.terminate();
  }
  // Of MessagePack the text of the error is found as it stands.
  for (const frame of ['', '\xc1', '\x81', '\x90', '\x81\xa6action\xa1x', '\x81\x01\x01', '\x82\xa6action\x0e\xa8presence\x05']) {
    const peer = new WebSocket(`ws://127.0.0.1:${server.port}/?v=6&format=msgpack&key=${KEY}`);
    await once(peer, 'message');
    peer.send(Buffer.from(frame, 'latin1'));
    const [answer] = await once(peer, 'message');
    told.push(/cannot decode frame: [ -~]*/.exec(answer.toString('latin1'))[0]);
    peer.terminate();
  }

  // What is no WebSocket.
  const violations = [(socket) => socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0])), (socket) => socket.write(Buffer.from([0x81, 0x00])), (socket) => socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff])), (socket) => socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]))];
  for (const violate of violations) {
    const { peer } = await connect(server.port);
    violate(peer._socket);
    const [, reason] = await once(peer, 'close');
    told.push(reason.toString());
  }

  assert.ok(told.length > 80, `${told.length}`);
  for (const message of told) {
    assert.ok(message.length > 0);
    assert.doesNotMatch(message, INNER);
  }
});

test('malformed options are refused in plain words', () => {
  for (const [option, wanted, ...values] of [
    ['--port', /whole number from 0 to 65535/, 'x', '-1', '1.5', '65536', ''],
    ['--retention-hours', /whole number from 1 to 8760/, 'x', '0', '8761'],
    ['--request-seconds', /whole number from 1 to 3600/, 'x', '0', '3601'],
    ['--store-cache', /whole number from 1 to/, 'x', '0'],
    ['--max-connections', /whole number from 1 to/, 'x', '0'],
    ['--max-members', /whole number from 0 to/, 'x'],
    ['--max-send-queue', /whole number from 0 to/, 'x'],
    ['--drain-seconds', /whole number from 0 to/, 'x'],
    ['--listen', /not an IP address/, 'x', '1.2.3'],
    ['--metrics-listen', /not an IP address and a port/, 'x', '127.0.0.1'],
    ['--log', /not off, error, warn, info, debug or trace/, 'x'],
  ]) {
    for (const value of values) {
      const { status, stderr } = spawnSync(SERVER, [`${option}=${value}`], { encoding: 'utf8', timeout: 10_000 });
      assert.equal(status, 2, `${option}=${value}`);
      assert.match(stderr, wanted);
      assert.doesNotMatch(stderr, /digit|literal|pars|syntax|expected/);
    }
  }
});
