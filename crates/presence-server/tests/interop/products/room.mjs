// Two clients of one server, and a log of what the second hears: PORT is the first argument.

import { realtime } from '../harness.mjs';

const port = Number(process.argv[2]);
export const clients = ['ann', 'bob'].map((clientId) => realtime(port, { clientId }));

const told = [];
let wake = () => {};

/// Adds an entry to the log.
export function tell(event) {
  told.push(event);
  wake();
}

/// Waits for an entry of the log.
export async function until(condition) {
  while (!told.some(condition)) await new Promise((resolve) => { wake = resolve; });
}

/// Ends the process: what is built on the SDK keeps timers for minutes.
export function end() {
  process.exit(0);
}
