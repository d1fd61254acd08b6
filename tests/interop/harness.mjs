// Starts examples/server, makes clients of the real library, and cuts connections.

import * as Ably from 'ably';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';

export const KEY = 'test.key:secret-of-the-test';
export const BINARY = process.env.FORMAT === 'msgpack';
const SERVER = process.env.SERVER_BIN ?? '../../target/debug/examples/server';

/// A server of its own on a free port: { port, process, stop() }.
export async function startServer(...options) {
  const child = spawn(SERVER, ['--port', '0', '--key', KEY, '--log', 'warn', ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const port = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const found = /http:\/\/[^:/]+:(\d+)\//.exec(line);
      if (found) resolve(Number(found[1]));
    });
    exited.then(([code]) => reject(new Error(`the server ended with ${code} before it listened`)));
  });
  const stop = async (signal = 'SIGKILL') => {
    child.kill(signal);
    return exited;
  };
  return { port, process: child, stop };
}

/// Options that point the library at `port` of this machine.
export function options(port, more = {}) {
  return { key: KEY, endpoint: '127.0.0.1', port, tls: false, useBinaryProtocol: BINARY, logLevel: 1, ...more };
}

export function realtime(port, more) {
  return new Ably.Realtime(options(port, more));
}

export function rest(port, more) {
  return new Ably.Rest(options(port, more));
}

/// Collects the presence events of a channel; `until(condition)` waits for one that satisfies it.
export async function watch(channel) {
  const events = [];
  const waiting = [];
  await channel.presence.subscribe((event) => {
    events.push(event);
    for (const { condition, resolve } of waiting) if (condition(event)) resolve(event);
  });
  const until = (condition) => new Promise((resolve) => {
    const found = events.find(condition);
    if (found) resolve(found);
    else waiting.push({ condition, resolve });
  });
  return { events, until, told: () => events.map((e) => `${e.clientId} ${e.action}`) };
}

/// Closes clients, and waits until the server has said so.
export async function close(...clients) {
  await Promise.all(clients.map(async (client) => {
    if (['closed', 'failed'].includes(client.connection.state)) return;
    const closed = new Promise((resolve) => client.connection.once('closed', resolve));
    client.close();
    await closed;
  }));
}

/// A TCP proxy before `port` whose connections can be cut without a word: { port, cut(), close() }.
export async function startProxy(port) {
  const open = new Set();
  const proxy = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    near.pipe(far);
    far.pipe(near);
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => { open.delete(one); other.destroy(); });
      open.add(one);
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const cut = () => { for (const socket of open) socket.destroy(); };
  return { port: proxy.address().port, cut, close: () => { cut(); proxy.close(); } };
}
