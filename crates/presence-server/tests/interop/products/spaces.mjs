// Members of a space, their locations, a lock, leaving.

import assert from 'node:assert/strict';
import SpacesModule from '@ably/spaces';
import { clients, end, tell, until } from './room.mjs';

const Spaces = SpacesModule.default ?? SpacesModule;

const [hers, his] = await Promise.all(clients.map((client) => new Spaces(client).get('slides')));
await his.enter({ name: 'Bob' });
his.subscribe('update', tell);
const member = (event, clientId) => event.members.find((m) => m.clientId === clientId);

await hers.enter({ name: 'Ann' });
await until((event) => member(event, 'ann')?.profileData?.name === 'Ann');
await hers.locations.set({ slide: 3 });
await until((event) => member(event, 'ann')?.location?.slide === 3);

const locked = new Promise((resolve) => his.locks.subscribe('update', (lock) => {
  if (lock.status === 'locked') resolve(lock);
}));
await hers.locks.acquire('title');
assert.equal((await locked).member.clientId, 'ann');

await hers.leave();
await until((event) => member(event, 'ann')?.isConnected === false);
end();
