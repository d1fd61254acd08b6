// A server that stops tells everybody before it ends.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Action, attached, connect, isRead, shout, startServer, startServerUnder, upgradeHead } from './harness.mjs';

const TIMES = 10;

function assertTold({ frames, code }) {
  assert.equal(frames.at(-1), Action.DISCONNECTED);
  assert.equal(code, 1001);
}

for (const count of [1, 10, 300]) {
  test(`all of ${count} clients are informed, ${TIMES} times in a row`, async () => {
    for (let time = 0; time < TIMES; time += 1) {
      const server = await startServer('--drain-seconds', '0');
      const clients = await Promise.all(Array.from({ length: count }, () => connect(server.port)));
      const [[status], ends] = await Promise.all([server.stop('SIGTERM'), Promise.all(clients.map(({ ended }) => ended))]);
      assert.equal(status, 0);
      for (const end of ends) assertTold(end);
    }
  });
}

test('the server ends when all clients are informed, however long the drain may take', async () => {
  const server = await startServer('--drain-seconds', '3600');
  const { ended } = await connect(server.port);
  const [[status], end] = await Promise.all([server.stop('SIGTERM'), ended]);
  assert.equal(status, 0);
  assertTold(end);
});

test('frames that arrive during a drain do not keep clients from being informed', async () => {
  for (let time = 0; time < TIMES; time += 1) {
    const server = await startServer('--drain-seconds', '0');
    const clients = await Promise.all(Array.from({ length: 10 }, (_, i) => attached(server.port, 'busy', { clientId: `busy-${i}` })));
    for (const { peer, send } of clients) {
      let msgSerial = 0;
      const talk = () => {
        if (peer.readyState !== peer.OPEN) return;
        send({ action: Action.PRESENCE, channel: 'busy', msgSerial, presence: [{ action: 4, data: 'x'.repeat(1000) }] });
        msgSerial += 1;
        setImmediate(talk);
      };
      talk();
    }
    await Promise.all(clients.map(({ next }) => next((frame) => frame.action === Action.ACK)));
    const [, ends] = await Promise.all([server.stop('SIGTERM'), Promise.all(clients.map(({ ended }) => ended))]);
    for (const { frames } of ends) assert.ok(frames.includes(Action.DISCONNECTED));
  }
});

test('a request in progress is answered', async () => {
  const server = await startServer('--drain-seconds', '0');
  const { ended } = await connect(server.port);
  const socket = net.connect({ port: server.port, host: '127.0.0.1' }).setEncoding('latin1');
  await once(socket, 'connect');
  let got = '';
  socket.on('data', (more) => { got += more; });
  socket.write('GET /time HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(socket, 'data');
  socket.write('POST /keys/none/requestToken HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n');
  // The server waits for the body from here on.
  await once(socket, 'data');
  const stopped = server.stop('SIGTERM');
  await ended;
  socket.write('{}');
  await once(socket, 'close');
  assert.match(got, /HTTP\/1.1 401 /);
  const [status] = await stopped;
  assert.equal(status, 0);
});

/// A server, somebody who talks, and somebody who does not read what is said, until the send queue
/// is long.
async function withSlowReader() {
  const server = await startServer('--drain-seconds', '0', '--max-send-queue', String(1 << 20));
  const slow = await attached(server.port, 'loud');
  slow.peer.pause();
  const loud = await attached(server.port, 'loud', { clientId: 'loud' });
  await shout(loud, 'loud');
  return { server, slow, loud };
}

test('a long send queue goes out before the end', async () => {
  const { server, slow, loud } = await withSlowReader();
  const stopped = server.stop('SIGTERM');
  assertTold(await loud.ended);
  slow.peer.resume();
  assertTold(await slow.ended);
  const [status] = await stopped;
  assert.equal(status, 0);
});

test('a second signal ends the server at once, and it logs how many were not informed', async () => {
  const { server, slow, loud } = await withSlowReader();
  const stopped = server.stop('SIGTERM');
  assertTold(await loud.ended);
  server.process.kill('SIGTERM');
  await stopped;
  assert.match(server.said(), /before all connections were notified.*left=1\b/);
  slow.peer.terminate();
});

test('a client whose upgrade is in progress is informed too', async () => {
  const server = await startServer('--drain-seconds', '3600');
  const clients = await Promise.all(Array.from({ length: 2 }, () => connect(server.port)));
  const late = net.connect({ port: server.port, host: '127.0.0.1' }).setEncoding('latin1');
  await once(late, 'connect');
  const head = upgradeHead();
  late.write(head.slice(0, -2));
  // A connection from which nothing was read may be closed without a word.
  await isRead(late);
  let got = '';
  const told = new Promise((resolve) => {
    late.on('data', (more) => {
      got += more;
      if (got.includes('"code":50003')) resolve();
    });
  });
  const stopped = server.stop('SIGTERM');
  // Which of the two the server took in first is not known.
  await Promise.race(clients.map(({ ended }) => ended));
  late.write(head.slice(-2));
  await told;
  late.destroy();
  for (const { peer } of clients) peer.close();
  await stopped;
});

test('when the store fails, clients are informed before the server ends', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'presence-'));
  // Files may have 4 MiB, and more is an error.
  const server = await startServerUnder("trap '' XFSZ && ulimit -f 8192", '--persist', join(folder, 'history'));
  const { send, ended } = await attached(server.port, 'kept', { clientId: 'kept' });
  const exited = once(server.process, 'exit');
  for (let msgSerial = 0; msgSerial < 200; msgSerial += 1) {
    send({ action: Action.PRESENCE, channel: 'kept', msgSerial, presence: [{ action: 4, data: 'x'.repeat(50_000) }] });
  }
  assert.equal((await ended).code, 1011);
  const [status] = await exited;
  assert.equal(status, 1);
  assert.match(server.said(), /the history cannot be written/);
  rmSync(folder, { recursive: true });
});
