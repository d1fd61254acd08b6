// The durable history: what was acknowledged survives a kill -9.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, realtime, rest, startServer } from './harness.mjs';

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
