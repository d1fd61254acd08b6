// Presence, typing, reactions and occupancy of a chat room.

import assert from 'node:assert/strict';
import { ChatClient } from '@ably/chat';
import { clients, end, tell, until } from './room.mjs';

const [hers, his] = await Promise.all(clients.map((client) => (
  new ChatClient(client).rooms.get('lobby', { occupancy: { enableEvents: true } }))));
his.presence.subscribe((event) => tell(`${event.member.clientId} ${event.type}`));
his.typing.subscribe((event) => tell(`typing ${[...event.currentlyTyping]}`));
his.reactions.subscribe((event) => tell(`reaction ${event.reaction.name}`));
his.occupancy.subscribe((event) => tell(`members ${event.occupancy.presenceMembers}`));
await Promise.all([hers.attach(), his.attach()]);
const heard = (wanted) => until((event) => event === wanted);

await hers.presence.enter({ status: 'here' });
await heard('ann enter');
await heard('members 1');
await hers.presence.update({ status: 'away' });
await heard('ann update');
await hers.typing.keystroke();
await heard('typing ann');
await hers.reactions.send({ name: 'like' });
await heard('reaction like');
await hers.presence.leave();
await heard('ann leave');
assert.deepEqual(await his.presence.get(), []);
end();
