// What others built on the SDK and its presence: Spaces and Chat, as published, unchanged.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { startServer } from './harness.mjs';

let server;
before(async () => { server = await startServer(); });
after(async () => { await server.stop('SIGTERM'); });

for (const product of ['spaces', 'chat']) {
  test(product, async () => {
    const child = spawn(process.execPath, [`products/${product}.mjs`, server.port], { stdio: 'inherit' });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
}
