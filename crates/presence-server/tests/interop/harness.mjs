// Starts presence-server, makes clients of the real library, and cuts connections.

import * as Ably from 'ably';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

export const KEY = 'test.key:secret-of-the-test';
export const BINARY = process.env.FORMAT === 'msgpack';
export const SERVER = process.env.SERVER_BIN ?? '../../../../target/debug/presence-server';

/// A server of its own on a free port: { port, metricsPort, process, said(), stop() }. What it logs
/// goes on to standard error, and is what it `said`.
export function startServer(...options) {
  return startServerUnder('true', ...options);
}

/// The same, after a command of the shell.
export async function startServerUnder(command, ...options) {
  const shell = ['-c', `${command} && exec "$0" "$@"`, SERVER, '--port', '0', '--key', KEY, '--log', 'warn', ...options];
  const child = spawn('/bin/sh', shell, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'close');
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { log += text; process.stderr.write(text); });
  const lines = createInterface({ input: child.stdout });
  let metricsPort;
  const port = await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const [, what, found] = /^(\w+) .*http:\/\/[^:/]+:(\d+)\//.exec(line) ?? [];
      if (what === 'Metrics') metricsPort = Number(found);
      if (what === 'Presence') resolve(Number(found));
    });
    exited.then(([code]) => reject(new Error(`the server ended with ${code} before it listened`)));
  });
  const stop = async (signal = 'SIGKILL') => {
    child.kill(signal);
    return exited;
  };
  return { port, metricsPort, process: child, said: () => log, stop };
}

/// A token with these claims, signed with a key.
export function jwt(key, claims) {
  const [kid, secret] = key.split(':');
  const signed = [{ typ: 'JWT', alg: 'HS256', kid }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
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

/// Asks over HTTP, with a connection of its own: { status, headers, body }.
export async function ask(port, path, { method = 'GET', headers = {}, body } = {}) {
  const request = http.request({ port, host: '127.0.0.1', path, method, headers, agent: false, signal: AbortSignal.timeout(10_000) });
  request.end(body);
  const [response] = await once(request, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

export const Action = { ACK: 1, NACK: 2, CONNECTED: 4, DISCONNECTED: 6, CLOSE: 7, ERROR: 9, ATTACH: 10, ATTACHED: 11, PRESENCE: 14, AUTH: 17 };

/// A bare WebSocket: { peer, connected, send(frame), next(condition), ended }, once it is CONNECTED
/// (that is `connected`). `ended` is { frames, code }: the actions that came, and the code of the close frame.
export async function connect(port, params = {}) {
  const query = new URLSearchParams({ v: 6, format: 'json', key: KEY, ...params });
  const peer = new WebSocket(`ws://127.0.0.1:${port}/?${query}`, { perMessageDeflate: false });
  peer.on('error', () => {});
  const frames = [];
  peer.on('message', (data) => frames.push(JSON.parse(data)));
  const ended = once(peer, 'close').then(([code]) => ({ frames: frames.map(({ action }) => action), code }));
  const next = (condition) => new Promise((resolve) => {
    const look = (data) => {
      const frame = JSON.parse(data);
      if (!condition(frame)) return;
      peer.off('message', look);
      resolve(frame);
    };
    peer.on('message', look);
  });
  const connected = await Promise.race([next((frame) => frame.action === Action.CONNECTED), ended]);
  if (connected.code) throw new Error(`not connected: ${connected.code}`);
  return { peer, connected, next, ended, send: (frame) => peer.send(JSON.stringify(frame)) };
}

/// A bare connection to a channel, once it is ATTACHED.
export async function attached(port, channel, params) {
  const connection = await connect(port, params);
  connection.send({ action: Action.ATTACH, channel });
  await connection.next((frame) => frame.action === Action.ATTACHED);
  return connection;
}

/// Says more on a channel than a socket holds, each time something else; returns the last when all of
/// it is acknowledged.
export async function shout({ send, next }, channel, count = 1000) {
  const data = (i) => 'x'.repeat(20_000) + i;
  const all = next((frame) => frame.action === Action.ACK && frame.msgSerial + (frame.count ?? 1) === count);
  for (let i = 0; i < count; i += 1) {
    send({ action: Action.PRESENCE, channel, msgSerial: i, presence: [{ action: 4, data: data(i) }] });
    // What comes meanwhile is looked at.
    if (i % 20 === 19) await new Promise(setImmediate);
  }
  await all;
  return data(count - 1);
}

/// Waits until the server has read all that was written to a socket: the system says so.
export async function isRead(socket) {
  const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');
  const [server, client] = [hex(socket.remotePort), hex(socket.localPort)];
  const line = new RegExp(`:${server} [0-9A-F]+:${client} 01 [0-9A-F]+:([0-9A-F]+) `);
  for (;;) {
    const waiting = line.exec(readFileSync('/proc/net/tcp', 'utf8'))?.[1];
    if (socket.writableLength === 0 && waiting && Number.parseInt(waiting, 16) === 0) return;
    await new Promise(setImmediate);
  }
}

/// The head of a request that opens a WebSocket.
export function upgradeHead(params = {}, more = '') {
  const query = new URLSearchParams({ v: 6, format: 'json', key: KEY, ...params });
  return `GET /?${query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n`
    + `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;
}
