// A process that enters a channel and stays until it is killed: PORT, channel, client id,
// remainPresentFor in milliseconds.

import { realtime } from './harness.mjs';

const [port, name, clientId, remainPresentFor] = process.argv.slice(2);
const client = realtime(Number(port), { clientId, transportParams: { remainPresentFor } });
await client.channels.get(name).presence.enter('alive');
console.log('entered');
