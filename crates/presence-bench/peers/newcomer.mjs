// How long does ably-js wait until it knows everybody? While `examples/crowd` holds its members:
// `node newcomer.mjs PORT json|msgpack`.
import Ably from 'ably';

const [port, format] = process.argv.slice(2);
const start = performance.now();
const client = new Ably.Realtime({
  key: 'dev.key:development-only',
  clientId: 'newcomer',
  endpoint: '127.0.0.1',
  port: Number(port),
  tls: false,
  useBinaryProtocol: format === 'msgpack',
  logLevel: 1,
});
const members = await client.channels.get('crowd').presence.get();
const seconds = (performance.now() - start) / 1000;
console.log(`ably-js ${format}: ${members.length} members in ${seconds.toFixed(3)} s`);
client.close();
