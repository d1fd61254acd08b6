// What two and more real clients see of each other. FORMAT is json or msgpack.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { BINARY, KEY, close, options, realtime, rest, startProxy, startServer, watch } from './harness.mjs';

let server;
before(async () => { server = await startServer(); });
after(async () => { await server.stop('SIGTERM'); });

test('two clients enter, update and leave, and see each other', async () => {
  const alice = realtime(server.port, { clientId: 'alice' });
  const bob = realtime(server.port, { clientId: 'bob' });
  const [hers, his] = [alice.channels.get('room'), bob.channels.get('room')];
  const seen = await watch(his);
  const heard = await watch(hers);

  await hers.presence.enter({ mood: 'curious' });
  const entered = await seen.until((e) => e.action === 'enter' && e.clientId === 'alice');
  assert.deepEqual(entered.data, { mood: 'curious' });
  assert.equal(entered.connectionId, alice.connection.id);

  await his.presence.enter(Buffer.from([0, 255, 7]));
  await heard.until((e) => e.action === 'enter' && e.clientId === 'bob');
  const members = await hers.presence.get();
  assert.deepEqual(members.map((m) => m.clientId).sort(), ['alice', 'bob']);
  assert.deepEqual([...members.find((m) => m.clientId === 'bob').data], [0, 255, 7]);
  assert.equal((await hers.presence.get({ clientId: 'bob' })).length, 1);

  await hers.presence.update('happy');
  assert.equal((await seen.until((e) => e.action === 'update')).data, 'happy');

  await hers.presence.leave();
  const left = await seen.until((e) => e.action === 'leave');
  assert.equal(left.data, 'happy', 'a leave without data carries the last');
  assert.deepEqual((await his.presence.get()).map((m) => m.clientId), ['bob']);

  assert.deepEqual(seen.told(), ['alice enter', 'bob enter', 'alice update', 'alice leave']);
  await close(alice, bob);
});

test('a closed connection leaves at once', async () => {
  const alice = realtime(server.port, { clientId: 'alice' });
  const bob = realtime(server.port, { clientId: 'bob' });
  const seen = await watch(bob.channels.get('closing'));
  await alice.channels.get('closing').presence.enter();
  await seen.until((e) => e.action === 'enter');
  await close(alice);
  await seen.until((e) => e.action === 'leave');
  await close(bob);
});

test('a killed process leaves when remainPresentFor has passed', async () => {
  const bob = realtime(server.port, { clientId: 'bob' });
  const seen = await watch(bob.channels.get('killed'));
  const remain = 1000;
  const child = spawn(process.execPath, ['member.mjs', server.port, 'killed', 'victim', remain], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await seen.until((e) => e.action === 'enter' && e.clientId === 'victim');
  const killed = Date.now();
  child.kill('SIGKILL');
  const left = await seen.until((e) => e.action === 'leave');
  const after = Date.now() - killed;
  assert.equal(left.clientId, 'victim');
  assert.equal(left.data, 'alive');
  assert.ok(after >= remain, `left after ${after} ms`);
  assert.ok(after < remain + 4000, `left after ${after} ms`);
  await close(bob);
});

test('a dropped and resumed connection causes no event', async () => {
  const proxy = await startProxy(server.port);
  const alice = realtime(proxy.port, { clientId: 'alice' });
  const bob = realtime(server.port, { clientId: 'bob' });
  const hers = alice.channels.get('resumed');
  const seen = await watch(bob.channels.get('resumed'));
  await hers.presence.enter('before');
  const id = alice.connection.id;

  const dropped = new Promise((resolve) => alice.connection.once('disconnected', resolve));
  proxy.cut();
  await dropped;
  await new Promise((resolve) => alice.connection.once('connected', resolve));
  assert.equal(alice.connection.id, id, 'the connection was resumed');
  await hers.whenState('attached');

  // A leave and an enter of the member itself would have come before this update.
  await hers.presence.update('after');
  await seen.until((e) => e.data === 'after');
  assert.deepEqual(seen.told(), ['alice enter', 'alice update']);
  assert.deepEqual((await bob.channels.get('resumed').presence.get()).map((m) => m.data), ['after']);
  await close(alice, bob);
  proxy.close();
});

test('a new subscriber is synced with more members than fit a page', async () => {
  const COUNT = 250;
  const crowd = realtime(server.port);
  const channel = crowd.channels.get('crowd');
  await channel.attach();
  await Promise.all(Array.from({ length: COUNT }, (_, i) => channel.presence.enterClient(`member-${i}`, `data-${i}`)));

  let pages = 0;
  const newcomer = realtime(server.port, {
    logLevel: 4,
    logHandler: (line) => { if (/received.*action=SYNC/.test(line)) pages += 1; },
  });
  const members = await newcomer.channels.get('crowd').presence.get();
  assert.deepEqual(
    members.map((m) => `${m.clientId} ${m.data}`).sort(),
    Array.from({ length: COUNT }, (_, i) => `member-${i} data-${i}`).sort(),
  );
  assert.ok(pages > 1, `${pages} pages`);
  await close(crowd, newcomer);
});

test('members and history over HTTP, page by page', async () => {
  const crowd = realtime(server.port);
  const channel = crowd.channels.get('paged:ü/%');
  await channel.attach();
  for (let i = 0; i < 7; i += 1) await channel.presence.enterClient(`m${i}`, { i });
  await channel.presence.leaveClient('m0');

  const presence = rest(server.port).channels.get('paged:ü/%').presence;
  const gathered = [];
  for (let page = await presence.get({ limit: 2 }); page; page = await page.next()) gathered.push(...page.items);
  assert.deepEqual(gathered.map((m) => m.clientId), ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.deepEqual(gathered[0].data, { i: 1 });
  assert.ok(gathered.every((m) => m.action === 'present'));
  assert.equal((await presence.get({ clientId: 'm3' })).items.length, 1);

  const told = async (direction) => {
    const events = [];
    for (let page = await presence.history({ limit: 3, direction }); page; page = await page.next()) events.push(...page.items);
    return events.map((e) => `${e.clientId} ${e.action}`);
  };
  const forwards = [...Array.from({ length: 7 }, (_, i) => `m${i} enter`), 'm0 leave'];
  assert.deepEqual(await told('forwards'), forwards);
  assert.deepEqual(await told('backwards'), [...forwards].reverse());
  await close(crowd);
});

test('tokens limit the rights of their bearer', async () => {
  const issuer = rest(server.port);
  const authCallback = (params, done) => {
    issuer.auth.requestToken({ ...params, clientId: 'carol', capability: { listen: ['subscribe'], talk: ['presence', 'subscribe'] } })
      .then((details) => done(null, details), (error) => done(error, null));
  };
  const carol = realtime(server.port, { key: undefined, authCallback });
  await carol.channels.get('talk').presence.enter();
  assert.equal(carol.auth.clientId, 'carol');
  const listen = carol.channels.get('listen');
  await listen.attach();
  await assert.rejects(listen.presence.enter(), { code: 40160 });
  await assert.rejects(carol.channels.get('elsewhere').attach(), { code: 40160 });
  await close(carol);
});

test('a wrong key is refused', async () => {
  const stranger = realtime(server.port, { key: `${KEY}!` });
  const { reason } = await new Promise((resolve) => stranger.connection.once('failed', resolve));
  assert.equal(reason.code, 40101);
  assert.equal(reason.statusCode, 401);
  await assert.rejects(rest(server.port, { key: `${KEY}!` }).channels.get('x').presence.get(), { code: 40101, statusCode: 401 });
});

test('the clock, in the requested format', async () => {
  assert.ok(Math.abs((await rest(server.port).time()) - Date.now()) < 60_000);
  assert.equal(options(server.port).useBinaryProtocol, BINARY);
});
