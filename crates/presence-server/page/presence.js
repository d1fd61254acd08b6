// The browser's driver of the client half: the core is presence.wasm, built from Rust by
// scripts/wasm.sh; here are only the sockets, the timer and the clocks. No protocol is spoken here:
// every frame comes out of the core and goes into it.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// A client in one channel. It tells what happens by events:
//   connection {state, reason, retryIn}, channel {state, reason}, presence {kind, member},
//   members, trouble {text}, frame {direction, text}
export class PresenceClient extends EventTarget {
  #wasm; #options; #timer;
  #socket = null; // { id, socket, opened }
  #offline = false;

  connectionId = null;
  state = 'initialized';

  // options: { channel, clientId, credentials: {key} or {accessToken}, grace }
  static async create(options) {
    const { instance } = await WebAssembly.instantiateStreaming(fetch('presence.wasm'));
    return new PresenceClient(instance.exports, options);
  }

  constructor(wasm, options) {
    super();
    this.#wasm = wasm;
    this.#options = options;
    const [seed] = crypto.getRandomValues(new BigUint64Array(1));
    const core = { clientId: options.clientId, token: options.credentials.accessToken, remainPresentFor: options.grace };
    if (!wasm.create(this.#write(core), seed)) throw new Error('the core does not take these options');
    // What the device knows of its network. One that is lost on purpose stays lost.
    addEventListener('offline', () => this.#handle({ type: 'networkLost' }));
    addEventListener('online', () => this.#offline || this.#handle({ type: 'networkAvailable' }));
  }

  connect() {
    this.#handle({ type: 'connect' });
    this.#handle({ type: 'subscribe', channel: this.#options.channel });
  }

  enter(data) { this.#publish('enter', data); }
  update(data) { this.#publish('update', data); }
  leave() { this.#publish('leave'); }

  // Leaves at once, on the page's way out.
  close() { this.#handle({ type: 'close' }); }

  // While off, the network is as good as unplugged: the socket breaks and no other one opens.
  get offline() { return this.#offline; }
  set offline(offline) {
    if (this.#offline === offline) return;
    this.#offline = offline;
    if (offline) {
      this.#handle({ type: 'networkLost' });
      this.#breakSocket();
    } else {
      this.#handle({ type: 'networkAvailable' });
    }
  }

  // The members, in the order of their names.
  get members() {
    this.#wasm.members(this.#write(this.#options.channel));
    return (JSON.parse(this.#read()).presence ?? [])
      .sort((a, b) => a.clientId.localeCompare(b.clientId) || a.connectionId.localeCompare(b.connectionId));
  }

  #publish(action, data) {
    const item = { action: { enter: 2, leave: 3, update: 4 }[action], ...(data && { data }) };
    this.#handle({ type: 'presence', channel: this.#options.channel, message: JSON.stringify({ action: 14, presence: [item] }) });
  }

  // Hands an input to the core and does what comes out of it. False if the core cannot read it.
  #handle(input) {
    const delay = this.#wasm.handle(this.#write(input), performance.now(), Date.now());
    if (delay === -2) return false;
    const outputs = JSON.parse(this.#read());
    clearTimeout(this.#timer);
    // setTimeout counts in 31 bits; a tick that comes too early is harmless.
    if (delay >= 0) this.#timer = setTimeout(() => this.#handle({ type: 'tick' }), Math.min(delay, 2 ** 31 - 1));
    let membersChanged = false;
    for (const output of outputs) {
      switch (output.type) {
        case 'open': this.#open(output); break;
        case 'close': this.#close(output.transport); break;
        case 'send': this.#send(output); break;
        case 'connection':
          this.state = output.state;
          this.connectionId = output.connectionId;
          this.#tell('connection', output);
          membersChanged = true;
          break;
        case 'channel': this.#tell('channel', output); break;
        case 'presence': {
          const [member] = JSON.parse(output.frame).presence;
          this.#tell('presence', { kind: KINDS[member.action], member });
          membersChanged = true;
          break;
        }
        case 'failed': this.#tell('trouble', { text: output.reason }); break;
        case 'warning': this.#tell('trouble', output); break;
      }
    }
    if (membersChanged) this.#tell('members');
    return true;
  }

  #open({ transport, params }) {
    if (this.#offline) {
      // As a browser without a network: not at once, but soon.
      setTimeout(() => this.#handle({ type: 'lost', transport, opened: false }));
      return;
    }
    const url = new URL('/', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    for (const [name, value] of params) url.searchParams.append(name, value);
    if (this.#options.credentials.key) url.searchParams.set('key', this.#options.credentials.key);
    const socket = new WebSocket(url);
    const mine = (this.#socket = { id: transport, socket, opened: false });
    socket.onopen = () => {
      mine.opened = true;
      this.#handle({ type: 'opened', transport });
    };
    socket.onmessage = ({ data }) => {
      this.#tell('frame', { direction: 'in', text: data });
      // What is no frame ends the transport.
      if (!this.#handle({ type: 'received', transport, frame: data })) this.#breakSocket();
    };
    socket.onclose = () => {
      if (this.#socket === mine) this.#socket = null;
      this.#handle({ type: 'lost', transport, opened: mine.opened });
    };
  }

  #close(transport) {
    if (this.#socket?.id !== transport) return;
    const { socket } = this.#socket;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #breakSocket() {
    if (!this.#socket) return;
    const { id, opened } = this.#socket;
    this.#close(id);
    this.#handle({ type: 'lost', transport: id, opened });
  }

  #send({ transport, frame }) {
    if (this.#socket?.id !== transport || this.#socket.socket.readyState !== WebSocket.OPEN) return;
    this.#tell('frame', { direction: 'out', text: frame });
    this.#socket.socket.send(frame);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // Text and objects go through the module's memory, which may move whenever the core allocates.
  #write(value) {
    const bytes = encoder.encode(typeof value === 'string' ? value : JSON.stringify(value));
    const at = this.#wasm.reserve(bytes.length);
    new Uint8Array(this.#wasm.memory.buffer, at, bytes.length).set(bytes);
    return bytes.length;
  }

  #read() {
    return decoder.decode(new Uint8Array(this.#wasm.memory.buffer, this.#wasm.output(), this.#wasm.output_length()));
  }
}

const KINDS = { 1: 'present', 2: 'enter', 3: 'leave', 4: 'update' };

// What a member says of itself, as text: { name, mood }. Others may say anything, in any encoding.
export function dataOf({ data = '', encoding }) {
  const said = encoding === 'json' ? parsed(data) : undefined;
  if (said === null || typeof said !== 'object' || Array.isArray(said)) return { name: '', mood: String(data) };
  return { name: textOf(said.name), mood: textOf(said.mood) };
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function textOf(value = '') {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
