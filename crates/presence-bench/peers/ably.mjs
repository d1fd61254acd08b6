// ably-js on the client's workloads: `node --expose-gc ably.mjs FRAMES_DIR`.
//
// The frames are those that the Rust benchmark writes (PRESENCE_WRITE=FRAMES_DIR cargo bench), and
// the lines are of the same form. The client is whole; only its WebSocket is none: what it sends
// goes nowhere, and frames are handed to it as the package `ws` does, JSON as a string and
// MessagePack as a Buffer. Sixteen go in before the event loop has its turn.
import Ably from 'ably';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

const CHANNEL = 'room:bench';
const folder = process.argv[2];
const read = (name) => readFileSync(join(folder, name));
const meta = JSON.parse(read('meta.json'));

let socket;
Ably.Realtime.Platform.Config.WebSocket = class {
  constructor() {
    socket = this;
    setImmediate(() => {
      this.onopen();
      this.isOpen = true;
    });
  }
  on() {}
  send() {}
  close() {
    setImmediate(() => this.onclose({ code: 1000, wasClean: true }));
  }
};

const formats = {
  json: (name) => read(`${name}.jsonl`).toString().split('\n').filter(Boolean),
  msgpack: (name) => {
    const packed = read(`${name}.mp`);
    const frames = [];
    for (let at = 0; at < packed.length; ) {
      const end = at + 4 + packed.readUInt32BE(at);
      frames.push(packed.subarray(at + 4, end));
      at = end;
    }
    return frames;
  },
};

const until = async (holds) => {
  while (!holds()) await turn();
};

const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

async function feed(frames) {
  for (const [index, data] of frames.entries()) {
    socket.onmessage({ data });
    if (index % 16 === 15) await turn();
  }
}

/** A client that is connected, subscribed and attaching. */
async function connected(format) {
  const client = new Ably.Realtime({
    key: 'app.key:secret',
    useBinaryProtocol: format === 'msgpack',
    transports: ['web_socket'],
    logLevel: 0,
  });
  await until(() => socket?.isOpen);
  await turn();
  socket.onmessage({ data: formats[format]('connected')[0] });
  await until(() => client.connection.state === 'connected');
  const channel = client.channels.get(CHANNEL);
  const host = { client, channel, counts: {} };
  const heard = (event) => {
    host.counts[event.action] = (host.counts[event.action] ?? 0) + 1;
  };
  channel.presence.subscribe(heard).catch(() => {});
  await until(() => channel.state === 'attaching');
  return host;
}

/** The same, after the first sync. */
async function loaded(format, first) {
  const host = await connected(format);
  await feed(first);
  await until(() => total(host.counts) === meta.n && host.channel.presence.syncComplete);
  host.counts = {};
  return host;
}

async function close(host) {
  host.client.close();
  await until(() => host.client.connection.state === 'closed');
  socket = undefined;
}

function check(host, expected) {
  const members = host.channel.presence.members.values();
  let sum = 0;
  for (const { connectionId, clientId, data } of members) {
    let hash = 2166136261;
    for (const byte of Buffer.from(`${connectionId}:${clientId}=${data}`)) {
      hash = Math.imul(hash ^ byte, 16777619);
    }
    sum = (sum + hash) >>> 0;
  }
  const counts = Object.fromEntries(
    Object.keys(expected.events).map((action) => [action, host.counts[action] ?? 0]),
  );
  const found = JSON.stringify({ members: members.length, sum, counts });
  const { members: number, checksum, events } = expected;
  const wanted = JSON.stringify({ members: number, sum: checksum, counts: events });
  if (found !== wanted) throw new Error(`${found} instead of ${wanted}`);
}

/** Times `run` on a fresh host, three times at least, for one second or ten with all around it. */
async function measure(workload, format, ops, start, run, end) {
  const times = [];
  let spent = 0;
  const last = performance.now() + 10_000;
  while (times.length < 3 || (spent < 1e9 && performance.now() < last)) {
    const host = await start();
    globalThis.gc?.();
    const began = process.hrtime.bigint();
    await run(host);
    const time = Number(process.hrtime.bigint() - began);
    await end(host);
    times.push(time);
    spent += time;
  }
  times.sort((a, b) => a - b);
  const perOp = (time) => Math.round((time / ops) * 1000) / 1000;
  const line = {
    peer: 'ably-js',
    workload,
    format,
    n: meta.n,
    ns_per_op: perOp(times[times.length >> 1]),
    min_ns_per_op: perOp(times[0]),
    iters: times.length,
  };
  console.log(JSON.stringify(line));
}

for (const [format, frames] of Object.entries(formats)) {
  const first = frames('w1');
  for (const name of ['w1', 'w2', 'w4']) {
    const list = frames(name);
    const expected = meta[name];
    const events = total(expected.events);
    const start = () => (name === 'w1' ? connected(format) : loaded(format, first));
    const run = async (host) => {
      await feed(list);
      await until(() => total(host.counts) === events && host.channel.presence.syncComplete);
    };
    const end = async (host) => {
      check(host, expected);
      await close(host);
    };
    await measure(name.toUpperCase(), format, expected.ops, start, run, end);
  }
}

const host = await loaded('json', formats.json('w1'));
const again = async () => host;
const get = (params) => host.channel.presence.get({ waitForSync: false, ...params });
const found = (number) => async () => {
  if (host.found !== number) throw new Error(`${host.found} found, not ${number}`);
};
await measure('W3', 'none', meta.n, again, async () => { host.found = (await get()).length; }, found(meta.n));
const lookUp = async () => {
  host.found = 0;
  for (const clientId of meta.lookups) host.found += (await get({ clientId })).length;
};
await measure('W3client', 'none', meta.lookups.length, again, lookUp, found(meta.lookups.length));
await close(host);
process.exit(0);
