// Peers that mean harm: the server's memory stays bounded, and others notice nothing. The figures
// are printed.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { Action, KEY, attached as attachedAt, close, connect as bare, realtime, shout, startServer, upgradeHead } from './harness.mjs';

const ENTER = 2;
const UPDATE = 4;

/// The most that the server may grow by, in MiB, and the longest that an update of a calm client
/// may take to reach another, in milliseconds.
const MAX_GROWTH = 64;
const MAX_LATENCY = 1000;

let server;
let calm;
let resting;
before(async () => {
  server = await startServer('--max-send-queue', String(1 << 20), '--max-members', '500');
  calm = await converse();
  resting = memory();
});
after(async () => {
  await calm.end();
  await server.stop();
});

/// Two clients that behave, one of which tells the other something every 20 ms.
async function converse() {
  const [alice, bob] = [realtime(server.port, { clientId: 'alice' }), realtime(server.port, { clientId: 'bob' })];
  const [hers, his] = [alice.channels.get('calm'), bob.channels.get('calm')];
  const latencies = [];
  const told = [];
  let wanted = { count: Infinity };
  await his.presence.subscribe('update', ({ data }) => {
    told.push(data.n);
    latencies.push(Date.now() - data.at);
    if (told.length >= wanted.count) wanted.resolve();
  });
  await hers.presence.enter({ n: -1 });
  const states = [];
  for (const client of [alice, bob]) client.connection.on((change) => states.push(change.current));
  let n = 0;
  let last;
  const timer = setInterval(() => { last = hers.presence.update({ n: n++, at: Date.now() }); }, 20);
  return {
    states,
    latencies,
    told,
    more: (count) => new Promise((resolve) => { wanted = { count, resolve }; }),
    async end() {
      clearInterval(timer);
      await last;
      await close(alice, bob);
    },
  };
}

/// Resident memory of the server, in MiB.
function memory() {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) / 1024;
}

/// Runs an attack, and holds the server to its word meanwhile and after it.
async function attack(name, run) {
  const from = calm.told.length;
  let peak = memory();
  const timer = setInterval(() => { peak = Math.max(peak, memory()); }, 50);
  const found = await run();
  // Some more of the calm conversation, over the effects of the attack.
  const heard = calm.told.length;
  await calm.more(heard + 10);
  clearInterval(timer);
  const latencies = calm.latencies.slice(from);
  const worst = Math.max(...latencies);
  console.log(`${name}: ${found ?? ''} memory ${resting.toFixed(0)} MiB at rest, ${peak.toFixed(0)} at most, ${memory().toFixed(0)} after; ` +
    `calm updates ${latencies.length}, the slowest ${worst} ms`);
  assert.ok(peak - resting < MAX_GROWTH, `the server grew by ${peak - resting} MiB`);
  assert.ok(worst < MAX_LATENCY, `an update took ${worst} ms`);
  assert.deepEqual(calm.told, [...calm.told.keys()].map((i) => calm.told[0] + i), 'each update came, once and in order');
  assert.deepEqual(calm.states, [], 'the calm connections stayed as they were');
}

const connect = (params) => bare(server.port, params);
const attached = (channel, params) => attachedAt(server.port, channel, params);

test('giant frames', () => attack('giant frames', async () => {
  const giants = await Promise.all(Array.from({ length: 20 }, () => connect()));
  const closed = giants.map(({ peer }) => once(peer, 'close'));
  for (const { peer } of giants) {
    peer.send('x'.repeat(4 << 20));
    // The calm clients live in this process: what it is busy with, is not the server's fault.
    await new Promise(setImmediate);
  }
  await Promise.all(closed);
}));

test('garbage', () => attack('garbage', async () => {
  for (let i = 0; i < 100; i += 1) {
    const { peer } = await connect();
    const closed = once(peer, 'close');
    peer.send(randomBytes(1000), { binary: i % 2 === 0 });
    peer.send('{"action":14,"presence":' + '['.repeat(10_000));
    await closed;
  }
}));

test('half frames, and half requests', () => attack('half frames', async () => {
  const sockets = [];
  for (let i = 0; i < 100; i += 1) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    socket.write(`GET /?v=6&format=json&key=${encodeURIComponent(KEY)} HTTP/1.1\r\nhost: x\r\n`);
    if (i % 2 === 0) {
      socket.write('connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
      // The head of a masked text frame of 400,000 bytes, and a few of them.
      socket.write(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 6, 0x1a, 0x80, 1, 2, 3, 4, 5, 6]));
    }
    sockets.push(socket);
  }
  const { peer } = await connect();
  peer.terminate();
  for (const socket of sockets) socket.destroy();
}));

test('endless channels', () => attack('endless channels', async () => {
  const { peer, send } = await connect();
  let refused = 0;
  let attachments = 0;
  const all = new Promise((resolve) => {
    peer.on('message', (data) => {
      const { action } = JSON.parse(data);
      if (action === Action.ATTACHED) attachments += 1;
      if (action === Action.ERROR) refused += 1;
      if (attachments + refused === 1500) resolve();
    });
  });
  for (let i = 0; i < 1500; i += 1) send({ action: Action.ATTACH, channel: `endless-${i}` });
  await all;
  peer.terminate();
  assert.equal(attachments, 200);
  return `${attachments} attached, ${refused} refused;`;
}));

test('endless members', () => attack('endless members', async () => {
  const { peer, send } = await attached('full');
  const counts = { [Action.ACK]: 0, [Action.NACK]: 0 };
  const all = new Promise((resolve) => {
    peer.on('message', (data) => {
      const { action, count = 1 } = JSON.parse(data);
      if (action in counts) counts[action] += count;
      if (counts[Action.ACK] + counts[Action.NACK] === 1500) resolve();
    });
  });
  for (let i = 0; i < 1500; i += 1) {
    send({ action: Action.PRESENCE, channel: 'full', msgSerial: i, presence: [{ action: ENTER, clientId: `m${i}` }] });
  }
  await all;
  send({ action: 7 });
  await once(peer, 'close');
  assert.equal(counts[Action.ACK], 500);
  return `${counts[Action.ACK]} entered, ${counts[Action.NACK]} refused;`;
}));

test('a flood', () => attack('a flood', async () => {
  const { peer, send } = await attached('flooded', { clientId: 'flood' });
  const counts = { [Action.ACK]: 0, [Action.NACK]: 0 };
  peer.on('message', (data) => {
    const { action, count = 1 } = JSON.parse(data);
    if (action in counts) counts[action] += count;
  });
  const gone = once(peer, 'close');
  for (let i = 0; i < 30_000 && peer.readyState === WebSocket.OPEN; i += 1) {
    send({ action: Action.PRESENCE, channel: 'flooded', msgSerial: i, presence: [{ action: UPDATE, data: `${i}` }] });
    if (i % 500 === 499) await new Promise(setImmediate);
  }
  await gone;
  assert.ok(counts[Action.NACK] > 0);
  return `${counts[Action.ACK]} acknowledged, ${counts[Action.NACK]} refused, then cut off;`;
}));

test('slow readers', () => attack('slow readers', async () => {
  const readers = await Promise.all(Array.from({ length: 20 }, () => attached('loud')));
  for (const { peer } of readers) peer.pause();
  const loud = await attached('loud', { clientId: 'loud' });
  const COUNT = 1000;
  const said = await shout(loud, 'loud', COUNT);
  // One that reads again is made to know what it missed.
  const [late] = readers;
  const current = late.next((frame) => (frame.presence ?? []).some((item) => item.data === said));
  late.peer.resume();
  await current;
  for (const reader of readers) reader.peer.terminate();
  loud.peer.terminate();
  return `${(COUNT * said.length * readers.length) >> 20} MiB not read;`;
}));

test('an endless message', () => attack('an endless message', async () => {
  const sockets = await Promise.all(Array.from({ length: 20 }, () => upgraded()));
  const closed = sockets.map((socket) => new Promise((resolve) => { socket.once('close', resolve); }));
  // Fragments of 32 KiB, masked with zeros, none of which is the last.
  const head = (opcode) => Buffer.from([opcode, 0xfe, 0x80, 0, 0, 0, 0, 0]);
  const payload = Buffer.alloc(32_768, 'x');
  const TEXT = 0x01;
  const CONTINUATION = 0x00;
  let sent = 0;
  for (let i = 0; i < 64; i += 1) {
    for (const socket of sockets) {
      if (socket.destroyed) continue;
      socket.write(Buffer.concat([head(i === 0 ? TEXT : CONTINUATION), payload]));
      sent += payload.length;
    }
    await new Promise(setImmediate);
  }
  await Promise.all(closed);
  return `${sent >> 20} MiB sent;`;
}));

test('endless pings', () => attack('endless pings', async () => {
  const { peer } = await connect();
  // It does not read the pongs either.
  peer.pause();
  for (let i = 0; i < 50_000 && peer.readyState === WebSocket.OPEN; i += 1) {
    peer.ping('x'.repeat(100));
    if (i % 500 === 499) await new Promise(setImmediate);
  }
  peer.terminate();
}));

test('many clients that enter and vanish', () => attack('clients that enter and vanish', async () => {
  const COUNT = 500;
  for (let i = 0; i < COUNT; i += 20) {
    await Promise.all(Array.from({ length: 20 }, async (_, k) => {
      const { peer, send, next } = await attached(`crowd-${k}`, { clientId: `crowd-${i + k}` });
      send({ action: Action.PRESENCE, channel: `crowd-${k}`, msgSerial: 0, presence: [{ action: ENTER, data: 'x'.repeat(1000) }] });
      await next((frame) => frame.action === Action.ACK);
      peer.terminate();
    }));
  }
  return `${COUNT} came;`;
}));

test('many flooding clients', () => attack('many flooding clients', async () => {
  const COUNT = 1000;
  const crowd = await Promise.all(Array.from({ length: 20 }, (_, i) => attached(`flood-${i % 4}`, { clientId: `flood-${i}` })));
  const counts = { [Action.ACK]: 0, [Action.NACK]: 0 };
  const answered = crowd.map(({ peer }) => new Promise((resolve) => {
    let left = COUNT;
    peer.on('message', (data) => {
      const { action, count = 1 } = JSON.parse(data);
      if (!(action in counts)) return;
      counts[action] += count;
      left -= count;
      if (left === 0) resolve();
    });
  }));
  for (let i = 0; i < COUNT; i += 1) {
    for (const [k, { send }] of crowd.entries()) {
      send({ action: Action.PRESENCE, channel: `flood-${k % 4}`, msgSerial: i, presence: [{ action: UPDATE, data: `${i}` }] });
    }
    if (i % 50 === 49) await new Promise(setImmediate);
  }
  await Promise.all(answered);
  for (const { peer } of crowd) peer.terminate();
  return `${counts[Action.ACK]} acknowledged, ${counts[Action.NACK]} refused;`;
}));

/// A bare socket that has become a WebSocket.
async function upgraded() {
  const socket = net.connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(upgradeHead());
  await once(socket, 'data');
  socket.resume();
  return socket;
}
