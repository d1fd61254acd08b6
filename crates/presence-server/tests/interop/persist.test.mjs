// The durable history: what was acknowledged survives a kill -9.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, realtime, rest, startServer, startServerUnder } from './harness.mjs';

const CHANNEL = 'kept';

async function whole(port, params) {
  const events = [];
  const presence = rest(port).channels.get(CHANNEL).presence;
  for (let page = await presence.history({ limit: 100, ...params }); page; page = await page.next()) events.push(...page.items);
  return events;
}

test('no acknowledged event is lost when the server is killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  const persist = ['--persist', join(folder, 'history.redb')];
  try {
    const first = await startServer(...persist);
    const writer = realtime(first.port, { clientId: 'writer' });
    const channel = writer.channels.get(CHANNEL);
    await channel.presence.enter('0');
    const acknowledged = ['0'];

    // Updates go on until the server is gone; it is killed in the midst of them.
    const ENOUGH = 500;
    let sent = 0;
    const enough = new Promise((resolve) => {
      const next = () => {
        if (acknowledged.length >= ENOUGH) resolve();
        const data = String((sent += 1));
        channel.presence.update(data).then(() => { acknowledged.push(data); next(); }, () => {});
      };
      for (let i = 0; i < 16; i += 1) next();
    });
    await enough;
    await first.stop('SIGKILL');
    writer.connection.off();
    writer.close();

    const second = await startServer(...persist);
    const events = await whole(second.port, { direction: 'forwards' });
    // Who was present when the server was killed cannot come back as who it was, so it has left.
    const [left] = events.splice(-1);
    assert.deepEqual([left.action, left.clientId, left.data], ['leave', 'writer', events.at(-1).data]);
    assert.equal(left.connectionId, events[0].connectionId);
    const kept = events.map((event) => event.data);
    const there = new Set(kept);
    assert.equal(there.size, kept.length, 'nothing is there twice');
    assert.deepEqual(acknowledged.filter((data) => !there.has(data)), [], 'nothing acknowledged is lost');
    assert.deepEqual(kept, [...kept].sort((a, b) => a - b), 'in the order in which it happened');
    assert.ok(kept.length >= ENOUGH);

    // What happens now comes after what happened then.
    const newcomer = realtime(second.port, { clientId: 'newcomer' });
    await newcomer.channels.get(CHANNEL).presence.enter('late');
    const newest = await whole(second.port, { direction: 'backwards' });
    assert.deepEqual([newest[0].clientId, newest[0].data], ['newcomer', 'late']);
    assert.equal(newest[1].id, left.id);
    assert.deepEqual(newest.slice(2).map((event) => event.data), [...kept].reverse());
    const since = await whole(second.port, { start: newest[0].timestamp, direction: 'forwards' });
    assert.ok(since.length >= 1 && since.length < newest.length);
    assert.equal(since.at(-1).data, 'late');
    await close(newcomer);
    await second.stop('SIGTERM');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const modes = { skip: process.platform === 'win32' && 'there are no modes' };
const mode = (file) => statSync(file).mode & 0o7777;

test('the store has mode 0600 whatever the umask, and there is no other file', modes, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  const file = join(folder, 'history');
  const server = await startServerUnder('umask 0', '--persist', file);
  assert.equal(mode(file), 0o600);
  const client = realtime(server.port, { clientId: 'kept' });
  await client.channels.get(CHANNEL).presence.enter();
  assert.equal(mode(file), 0o600);
  assert.deepEqual(readdirSync(folder), ['history']);
  await assert.rejects(startServer('--persist', file), /ended with 1/, 'nor is it for two servers at a time');
  await close(client);
  await server.stop('SIGTERM');
  assert.deepEqual(readdirSync(folder), ['history']);
  assert.equal(server.said(), '');
  rmSync(folder, { recursive: true });
});

test('the server warns about a store and a key file that others can open, and does not change them', modes, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  const [store, keys] = [join(folder, 'history'), join(folder, 'keys.json')];
  writeFileSync(keys, JSON.stringify([{ name: 'test.more', secret: 'of-the-file' }]), { mode: 0o600 });
  await (await startServer('--persist', store)).stop();
  for (const [bits, warned] of [[0o600, false], [0o400, false], [0o700, false], [0o640, true], [0o604, true], [0o620, true], [0o644, true]]) {
    // The store is written to, so the owner always may.
    const given = [[store, bits | 0o600], [keys, bits]];
    for (const [file, to] of given) chmodSync(file, to);
    const server = await startServer('--persist', store, '--keys', keys);
    await server.stop('SIGTERM');
    for (const [file, to] of given) {
      const text = `${file} contains secrets and other users can access it (mode ${to.toString(8).padStart(4, '0')}): chmod 600 ${file}`;
      assert.equal(server.said().includes(text), warned, `${to.toString(8)} ${file}`);
      assert.equal(mode(file), to);
    }
    assert.equal(server.said().includes('WARN'), warned);
  }
  rmSync(folder, { recursive: true });
});
