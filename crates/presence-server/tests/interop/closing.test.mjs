// How WebSockets end: with a close frame that says why (RFC 6455, section 7.4).

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Action, connect, startServer, upgradeHead } from './harness.mjs';

let server;
before(async () => { server = await startServer(); });
after(() => server.stop());

const FIN = 0x80;
const [CONTINUATION, TEXT, BINARY, CLOSE, PING] = [0, 1, 2, 8, 9];

/// A frame of a client, masked with zeros; its length may be a lie.
function frame(first, payload = '', { mask = true, length } = {}) {
  const bytes = Buffer.from(payload);
  const said = length ?? bytes.length;
  const head = Buffer.alloc(10);
  head[0] = first;
  head[1] = 127 | (mask ? 0x80 : 0);
  head.writeBigUInt64BE(BigInt(said), 2);
  const short = said < 126 ? Buffer.from([first, said | (mask ? 0x80 : 0)]) : head;
  return Buffer.concat([short, mask ? Buffer.alloc(4) : Buffer.alloc(0), bytes]);
}

const closeFrame = (code, reason = '') => frame(FIN | CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));

/// The close codes that came, out of whole frames of a server after the handshake.
function closeCodes(bytes) {
  const codes = [];
  let at = bytes.indexOf('\r\n\r\n') + 4;
  while (at + 2 <= bytes.length) {
    const short = bytes[at + 1];
    // No frame here is as long as to need eight bytes for its length.
    const [head, length] = short < 126 ? [2, short] : [4, bytes.readUInt16BE(at + 2)];
    if (at + head + length > bytes.length) break;
    if ((bytes[at] & 15) === CLOSE) codes.push(length === 0 ? 1005 : bytes.readUInt16BE(at + head));
    at += head + length;
  }
  return codes;
}

/// Says something to the server once it has spoken, closes when it has said why it does, and returns
/// the close codes that came.
async function say(bytes, params = {}) {
  const socket = net.connect({ port: server.port, host: '127.0.0.1' });
  const got = [];
  socket.on('data', (more) => {
    got.push(more);
    if (closeCodes(Buffer.concat(got)).length > 0) socket.end();
  });
  await once(socket, 'connect');
  socket.write(upgradeHead(params));
  while (!Buffer.concat(got).includes('"action"')) await once(socket, 'data');
  if (bytes) socket.write(bytes);
  // A reset, which can take the close frame back, is an error.
  await once(socket, 'close');
  return closeCodes(Buffer.concat(got));
}

const long = 'x'.repeat(100_000);
const endless = Buffer.concat([frame(TEXT, long), ...Array.from({ length: 20 }, () => frame(CONTINUATION, long))]);

for (const [what, bytes, code] of [
  ['a reserved bit', frame(FIN | 0x40 | TEXT, '{}'), 1002],
  ['no mask', frame(FIN | TEXT, '{}', { mask: false }), 1002],
  ['an opcode of data that there is not', frame(FIN | 3, '{}'), 1002],
  ['an opcode of control that there is not', frame(FIN | 11, '{}'), 1002],
  ['a continuation of nothing', frame(FIN | CONTINUATION, '{}'), 1002],
  ['a message in another', Buffer.concat([frame(TEXT, '{'), frame(FIN | TEXT, '}')]), 1002],
  ['a ping in pieces', frame(PING, 'x'), 1002],
  ['a long ping', frame(FIN | PING, 'x'.repeat(126)), 1002],
  ['a close frame of one byte', frame(FIN | CLOSE, 'x'), 1002],
  ['a close code that there is not', closeFrame(999), 1002],
  ['text that is no UTF-8', frame(FIN | TEXT, Buffer.from([0x22, 0xff, 0x22])), 1007],
  ['text in pieces that is no UTF-8', Buffer.concat([frame(TEXT, Buffer.from([0x22, 0xc3])), frame(FIN | CONTINUATION, '"')]), 1007],
  ['a close reason that is no UTF-8', frame(FIN | CLOSE, Buffer.from([0x03, 0xe8, 0xff])), 1007],
  ['the head of a giant frame', frame(FIN | BINARY, '', { length: 2 ** 40 }), 1009],
  ['a giant frame that goes on', frame(FIN | BINARY, long.repeat(20)), 1009],
  ['an endless message', endless, 1009],
  ['a message somewhat too long', frame(FIN | TEXT, `"${'x'.repeat(600_000)}"`), 1009],
  ['no frame of the protocol', frame(FIN | TEXT, '{"action":'), 1008],
  ['the end of the connection', frame(FIN | TEXT, JSON.stringify({ action: Action.CLOSE })), 1000],
  ['a normal closure', closeFrame(1000, 'bye'), 1000],
  ['a close frame without a code', frame(FIN | CLOSE), 1005],
]) {
  test(`${what} ends with ${code}`, async () => assert.deepEqual(await say(bytes), [code]));
}

for (const [what, params] of [
  ['no credentials', { key: '' }],
  ['a wrong key', { key: 'test.key:wrong' }],
  ['a version that there is not', { v: 'x' }],
]) {
  test(`a connection refused for ${what} ends with 1008`, async () => assert.deepEqual(await say('', params), [1008]));
}

test('a giant message ends with 1009 although the client continues to send', async () => {
  const { peer, ended } = await connect(server.port);
  peer.send('x'.repeat(8 << 20));
  assert.equal((await ended).code, 1009);
});
