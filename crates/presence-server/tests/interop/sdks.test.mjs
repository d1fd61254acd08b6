// SDKs of different languages and generations in one room: the JavaScript client as it is now, the
// last of its first generation, and the Python client. FORMAT is json or msgpack.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import OldAbly from 'ably-1';
import { BINARY, KEY, realtime, startProxy, startServer } from './harness.mjs';

const PYTHON = process.env.PYTHON ?? 'python/.venv/bin/python';
const ROOM = 'all-sdks';

let server;
let proxy;
before(async () => {
  server = await startServer();
  proxy = await startProxy(server.port);
});
after(async () => {
  proxy.close();
  await server.stop('SIGTERM');
});

/// Keeps events as `clientId action data`, and lets one wait for one of those wanted.
function log() {
  const told = [];
  const more = new EventEmitter();
  const add = (clientId, action, data) => {
    told.push(`${clientId} ${action} ${data ?? null}`);
    more.emit('told');
  };
  const until = async (...wanted) => {
    while (!told.some((event) => wanted.includes(event))) await once(more, 'told');
  };
  return { told, add, until };
}

/// A member through a JavaScript client of any generation.
async function javascript(client, clientId) {
  const events = log();
  const { presence } = client.channels.get(ROOM);
  let recovery;
  await presence.subscribe((event) => events.add(event.clientId, event.action, event.data));
  return {
    ...events,
    clientId,
    enter: (data) => presence.enter(data),
    update: (data) => presence.update(data),
    leave: () => presence.leave(),
    members: async () => Object.fromEntries((await presence.get()).map((m) => [m.clientId, m.data])),
    connection: async () => client.connection.id,
    brace: async () => {
      recovery = new Promise((resolve) => {
        client.connection.once('disconnected', () => client.connection.once('connected', resolve));
      });
    },
    recovered: () => recovery,
    close: async () => {
      const closed = new Promise((resolve) => client.connection.once('closed', resolve));
      client.close();
      await closed;
    },
  };
}

/// A member through the Python client, in a process of its own.
async function python(port, clientId) {
  const format = BINARY ? 'msgpack' : 'json';
  const child = spawn(PYTHON, ['python/member.py', port, ROOM, clientId, KEY, format], { stdio: ['pipe', 'pipe', 'inherit'] });
  const events = log();
  const answers = [];
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line);
      if (said === 'ready') resolve();
      else if (said.event) events.add(...said.event);
      else answers.shift()(said.answer);
    });
    once(child, 'exit').then(([code]) => reject(new Error(`python ended with ${code}`)));
  });
  await ready;
  const ask = (command, argument = null) => new Promise((resolve) => {
    answers.push(resolve);
    child.stdin.write(`${JSON.stringify([command, argument])}\n`);
  });
  const commands = ['enter', 'update', 'leave', 'members', 'connection', 'brace', 'recovered', 'close'];
  return { ...events, clientId, ...Object.fromEntries(commands.map((name) => [name, (argument) => ask(name, argument)])) };
}

test('three SDKs in one room see the same, over updates, a lost network and leaves', async () => {
  const old = new OldAbly.Realtime.Promise({
    key: KEY, clientId: 'old', realtimeHost: '127.0.0.1', restHost: '127.0.0.1', port: proxy.port, tls: false, useBinaryProtocol: BINARY, logLevel: 1,
  });
  const room = [
    await javascript(realtime(proxy.port, { clientId: 'new' }), 'new'),
    await javascript(old, 'old'),
    await python(proxy.port, 'snake'),
  ];
  const everybody = (...wanted) => Promise.all(room.map((member) => member.until(...wanted)));

  for (const member of room) {
    await member.enter('here');
    await everybody(`${member.clientId} enter here`);
  }
  for (const member of room) {
    await member.update('still here');
    await everybody(`${member.clientId} update still here`);
  }
  const all = { new: 'still here', old: 'still here', snake: 'still here' };
  for (const member of room) assert.deepEqual(await member.members(), all, member.clientId);

  // The network breaks for all of them at once. They come back within their grace, and an update
  // of each reaches everybody, as such or by the sync that follows an attach: had anybody left
  // meanwhile, it would have been told before.
  const ids = await Promise.all(room.map((member) => member.connection()));
  const heard = room.map((member) => member.told.length);
  await Promise.all(room.map((member) => member.brace()));
  proxy.cut();
  await Promise.all(room.map((member) => member.recovered()));
  await Promise.all(room.map(async (member) => {
    await member.update('back');
    await everybody(`${member.clientId} update back`, `${member.clientId} present back`);
  }));
  assert.deepEqual(await Promise.all(room.map((member) => member.connection())), ids, 'all were resumed');
  for (const [place, member] of room.entries()) {
    const since = member.told.slice(heard[place]);
    assert.deepEqual(since.filter((event) => !/ (update|present) back$/.test(event)), [], member.clientId);
    assert.deepEqual(await member.members(), { new: 'back', old: 'back', snake: 'back' }, member.clientId);
  }

  const [observer, ...others] = room;
  for (const member of others) {
    await member.leave();
    await observer.until(`${member.clientId} leave back`);
    await member.close();
  }
  assert.deepEqual(await observer.members(), { new: 'back' });
  await observer.close();
});
