// A small presence client: one connection, one channel, one member. It speaks the protocol's JSON
// form over a WebSocket, resumes after a lost connection, and tells its owner what changed.

const Action = { HEARTBEAT: 0, ACK: 1, NACK: 2, CONNECTED: 4, DISCONNECTED: 6, CLOSE: 7, CLOSED: 8,
  ERROR: 9, ATTACH: 10, ATTACHED: 11, DETACHED: 13, PRESENCE: 14, SYNC: 16 };
const Presence = { ABSENT: 0, PRESENT: 1, ENTER: 2, LEAVE: 3, UPDATE: 4 };
const HAS_PRESENCE = 1;
const RETRY_MS = [0, 500, 1000, 2000, 5000];
const SILENCE_MARGIN_MS = 10000;

export class PresenceClient extends EventTarget {
  #credentials; #clientId; #channel; #socket; #timer; #silence;
  #key; #serial; #msgSerial = 0; #tries = 0; #closed = false;
  #me = null; // what the member says of itself; null while it does not want to be present
  #members = new Map();
  #sync = null; // { id, seen } while a sync runs

  // credentials: { key } or { accessToken }
  constructor({ credentials, clientId, channel }) {
    super();
    this.#credentials = credentials;
    this.#clientId = clientId;
    this.#channel = channel;
  }

  connect() {
    const url = new URL('/', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const params = { v: 6, format: 'json', heartbeats: true, clientId: this.#clientId, ...this.#credentials };
    if (this.#key) params.resume = this.#key;
    for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
    this.#tell('connection', { state: 'connecting' });
    const socket = (this.#socket = new WebSocket(url));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
    socket.onclose = () => socket === this.#socket && this.#lost();
  }

  // Leaves at once, on this tab's way out.
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#send({ action: Action.CLOSE });
      this.#socket.close();
    }
  }

  enter(data) {
    const action = this.#me ? Presence.UPDATE : Presence.ENTER;
    this.#me = data;
    this.#publish(action, data);
  }

  leave() {
    if (this.#me) this.#publish(Presence.LEAVE, this.#me);
    this.#me = null;
  }

  // The members, in the order of their names.
  get members() {
    return [...this.#members.values()].filter((m) => m.action !== Presence.ABSENT)
      .sort((a, b) => a.clientId.localeCompare(b.clientId) || a.connectionId.localeCompare(b.connectionId));
  }

  #receive(frame) {
    this.#listen();
    switch (frame.action) {
      case Action.CONNECTED: return this.#connected(frame);
      case Action.DISCONNECTED: return this.#socket.close();
      case Action.ERROR: return this.#failed(frame);
      case Action.ATTACHED: return this.#attached(frame);
      case Action.DETACHED: return this.#attach();
      case Action.PRESENCE: return frame.channel === this.#channel && this.#presence(frame);
      case Action.SYNC: return frame.channel === this.#channel && this.#syncPage(frame);
    }
  }

  #connected({ connectionId, connectionDetails, error }) {
    if (error) this.#msgSerial = 0;
    this.#tries = 0;
    this.#key = connectionDetails.connectionKey;
    this.idleMs = connectionDetails.maxIdleInterval;
    this.connectionId = connectionId;
    this.#listen();
    this.#tell('connection', { state: 'connected' });
    this.#attach();
  }

  #attach() {
    this.#send({ action: Action.ATTACH, channel: this.#channel, channelSerial: this.#serial });
  }

  #attached({ flags = 0, channelSerial }) {
    this.#serial = channelSerial ?? this.#serial;
    this.#sync = { id: null, seen: new Set() };
    if (!(flags & HAS_PRESENCE)) this.#endSync();
    if (this.#me) this.#publish(Presence.ENTER, this.#me);
  }

  #presence(frame) {
    this.#serial = frame.channelSerial ?? this.#serial;
    for (const item of this.#items(frame)) this.#apply(item);
    this.#tell('members');
  }

  #syncPage(frame) {
    const [id, cursor] = (frame.channelSerial ?? ':').split(/:(.*)/s);
    if (!this.#sync || (this.#sync.id !== null && this.#sync.id !== id)) this.#sync = { id, seen: new Set() };
    this.#sync.id = id;
    for (const item of this.#items(frame)) this.#apply(item);
    if (!cursor) this.#endSync();
    this.#tell('members');
  }

  // What an item lacks follows from its frame.
  #items(frame) {
    return (frame.presence ?? []).map((item, index) => ({
      ...item,
      id: item.id ?? `${frame.id}:${index}`,
      connectionId: item.connectionId ?? frame.connectionId,
      timestamp: item.timestamp ?? frame.timestamp,
    }));
  }

  #apply(item) {
    const key = `${item.connectionId} ${item.clientId}`;
    const known = this.#members.get(key);
    this.#sync?.seen.add(key);
    if (known && !newer(item, known)) return;
    const was = known && known.action !== Presence.ABSENT;
    if (item.action === Presence.LEAVE) {
      if (this.#sync) this.#members.set(key, { ...item, action: Presence.ABSENT });
      else this.#members.delete(key);
      if (was) this.#tell('event', { kind: 'leave', member: item });
      return;
    }
    this.#members.set(key, item);
    this.#tell('event', { kind: was ? 'update' : item.action === Presence.PRESENT ? 'present' : 'enter', member: item });
  }

  // Whoever was not named by the sync has left while we could not hear it.
  #endSync() {
    for (const [key, member] of this.#members) {
      if (member.action !== Presence.ABSENT && this.#sync.seen.has(key)) continue;
      this.#members.delete(key);
      if (member.action !== Presence.ABSENT) this.#tell('event', { kind: 'leave', member });
    }
    this.#sync = null;
    this.#tell('members');
  }

  #publish(action, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return; // entered again once attached
    const presence = [{ action, data: JSON.stringify(data), encoding: 'json' }];
    this.#send({ action: Action.PRESENCE, channel: this.#channel, msgSerial: this.#msgSerial++, presence });
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #failed({ channel, error }) {
    this.#tell('connection', { state: 'failed', reason: error?.message });
    if (!channel) this.close();
  }

  // A server that is silent for longer than it promised is gone.
  #listen() {
    clearTimeout(this.#silence);
    if (this.idleMs) this.#silence = setTimeout(() => this.#lost(), this.idleMs + SILENCE_MARGIN_MS);
  }

  #lost() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    clearTimeout(this.#silence);
    if (this.#closed) return;
    this.#tell('connection', { state: 'disconnected' });
    const delay = RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)];
    this.#timer = setTimeout(() => this.connect(), delay);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// Is `incoming` newer than what is known? By serial and index where both ids begin with the
// connection's, else by time (RTP2b).
function newer(incoming, known) {
  const order = ({ id, connectionId }) => (id?.startsWith(`${connectionId}:`) ? id.split(':').slice(-2).map(Number) : null);
  const [a, b] = [order(incoming), order(known)];
  if (a && b) return a[0] !== b[0] ? a[0] > b[0] : a[1] > b[1];
  return incoming.timestamp >= known.timestamp;
}

// What a member says of itself, as an object.
export function dataOf(member) {
  if (typeof member.data !== 'string') return member.data ?? {};
  if (member.encoding !== 'json') return { mood: member.data };
  try {
    return JSON.parse(member.data) ?? {};
  } catch {
    return {};
  }
}
