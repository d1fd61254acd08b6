// The same job as presence-server, as one would write it with the package ws: rooms of members,
// each change told to everybody in the room, encoded once. Nothing is checked, kept through a lost
// connection or remembered, and no history is kept.
//
//     node ws-server.mjs [PORT]
//
// It listens on the loopback interface alone.

import { WebSocketServer } from "ws";

const CONNECTED = 4;
const ACK = 1;
const ATTACH = 10;
const ATTACHED = 11;
const PRESENCE = 14;
const SYNC = 16;
const LEAVE = 3;
const PAGE = 100;

const rooms = new Map();
let connections = 0;

function roomOf(name) {
  let room = rooms.get(name);
  if (!room) {
    room = { name, sockets: new Set(), members: new Map() };
    rooms.set(name, room);
  }
  return room;
}

function tell(room, frame) {
  const text = JSON.stringify(frame);
  for (const socket of room.sockets) socket.send(text);
}

function* pages(room) {
  const members = [...room.members.values()];
  for (let at = 0; at < members.length; at += PAGE) {
    const cursor = at + PAGE < members.length ? at + PAGE : "";
    yield {
      action: SYNC,
      channel: room.name,
      channelSerial: `s:${cursor}`,
      presence: members.slice(at, at + PAGE).map((member) => ({ ...member, action: 1 })),
    };
  }
}

const port = Number(process.argv[2] ?? 8081);
const server = new WebSocketServer({ host: "127.0.0.1", port, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const clientId = new URL(request.url, "ws://localhost").searchParams.get("clientId");
  const connectionId = `c${connections++}`;
  const attached = new Set();
  const send = (frame) => socket.send(JSON.stringify(frame));

  socket.on("message", (bytes) => {
    const frame = JSON.parse(bytes);
    if (frame.action === ATTACH) {
      const room = roomOf(frame.channel);
      room.sockets.add(socket);
      attached.add(room);
      send({ action: ATTACHED, channel: room.name, flags: room.members.size ? 1 : 0 });
      for (const page of pages(room)) send(page);
    } else if (frame.action === PRESENCE) {
      const room = roomOf(frame.channel);
      const id = `${connectionId}:${frame.msgSerial}`;
      const timestamp = Date.now();
      frame.presence.forEach((item, index) => {
        const member = { id: `${id}:${index}`, clientId, connectionId, timestamp, data: item.data };
        if (item.action === LEAVE) room.members.delete(connectionId);
        else room.members.set(connectionId, member);
      });
      const presence = frame.presence.map(({ action, data }) => ({ action, clientId, data }));
      tell(room, { action: PRESENCE, id, channel: room.name, connectionId, timestamp, presence });
      send({ action: ACK, msgSerial: frame.msgSerial, count: 1 });
    }
  });

  socket.on("close", () => {
    for (const room of attached) {
      room.sockets.delete(socket);
      const member = room.members.get(connectionId);
      if (member && room.members.delete(connectionId)) {
        const presence = [{ ...member, action: LEAVE }];
        tell(room, { action: PRESENCE, channel: room.name, presence });
      }
      if (room.sockets.size === 0) rooms.delete(room.name);
    }
  });

  send({ action: CONNECTED, connectionId, connectionDetails: { clientId } });
});

server.on("listening", () => console.log(`listening on 127.0.0.1:${port}`));
