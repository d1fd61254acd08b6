// The page of presence-server in a headless Chromium: every tab is a member, and all see it.
// SCREENSHOT names a file for a picture of the page.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const SERVER = process.env.SERVER_BIN ?? '../../../../target/debug/presence-server';
const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium';

let server;
let url;
let browser;
before(async () => {
  server = spawn(SERVER, ['--port', '0', '--log', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: server.stdout })) {
    url = /http:\/\/\S+/.exec(line)?.[0];
    if (url) break;
  }
  browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
});
after(async () => {
  await browser?.close();
  server.kill();
});

async function open(context, name, parameters = '') {
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  await page.goto(url + parameters);
  await page.getByRole('status').filter({ hasText: 'Connected' }).waitFor();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('What you are doing').fill(`testing as ${name}`);
  await page.keyboard.press('Enter');
  await members(page).filter({ hasText: `${name} (you)` }).waitFor();
  return { page, problems };
}

async function drop(page) {
  await page.getByLabel('Lose it').selectOption('until I say');
  await page.getByRole('button', { name: 'Drop the network' }).click();
  await page.getByRole('status').filter({ hasText: /lost/ }).waitFor();
}

async function bringBack(page) {
  await page.getByRole('button', { name: 'Bring it back' }).click();
  await page.getByRole('status').filter({ hasText: 'Connected' }).waitFor();
}

// What the log tells of a member, newest first.
const told = (page, name) => page.locator('#events > li > span').filter({ hasText: name }).allTextContents();

const members = (page) => page.locator('#members > li');
const count = (page, n) => page.getByRole('heading', { name: `Present: ${n}` }).waitFor();

test('two tabs are two members, and closing one makes it leave', async () => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  const one = await open(context, 'Ada');
  const two = await open(context, 'Grace');

  for (const { page } of [one, two]) {
    await count(page, 2);
    assert.equal(await members(page).count(), 2);
    await members(page).filter({ hasText: 'testing as Ada' }).waitFor();
    await members(page).filter({ hasText: 'testing as Grace' }).waitFor();
  }
  if (process.env.SCREENSHOT) await one.page.screenshot({ path: process.env.SCREENSHOT });

  await two.page.close({ runBeforeUnload: false });
  await count(one.page, 1);
  await one.page.getByRole('log').getByText('Grace went').waitFor();
  assert.deepEqual([...one.problems, ...two.problems], []);
  await context.close();
});

// The page's own button takes the network away until it is pressed again, so nothing waits here
// but for what the page shows.
test('a network loss shorter than the grace period is not visible to others', async () => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 1400 } });
  const one = await open(context, 'Ada', '?channel=short');
  const two = await open(context, 'Grace', '?channel=short');
  await drop(two.page);
  await two.page.getByText('As it was when the connection was lost.').waitFor();
  // Others go on meanwhile, and the one who is away catches up.
  await one.page.getByLabel('What you are doing').fill('waiting');
  await one.page.keyboard.press('Enter');
  await members(one.page).filter({ hasText: 'waiting' }).waitFor();
  if (process.env.SCREENSHOT) await two.page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.png)?$/, '-lost.png'), fullPage: true });
  await bringBack(two.page);
  await members(two.page).filter({ hasText: 'waiting' }).waitFor();
  // Whatever the resume told the others came before this change.
  await two.page.getByLabel('What you are doing').fill('back again');
  await two.page.keyboard.press('Enter');
  await members(one.page).filter({ hasText: 'back again' }).waitFor();
  const events = await told(one.page, 'Grace');
  assert.deepEqual(events.slice(0, 2), ['Grace changed: back again', 'Grace changed: testing as Grace']);
  assert.ok(!events.includes('Grace went'));
  assert.deepEqual([...one.problems, ...two.problems], []);
  await context.close();
});

test('a longer network loss makes the member leave and enter again', async () => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 1400 } });
  const one = await open(context, 'Ada', '?channel=long');
  const two = await open(context, 'Grace', '?channel=long&grace=1000');
  await drop(two.page);
  await count(one.page, 1);
  await one.page.getByRole('log').getByText('Grace went').waitFor();
  await bringBack(two.page);
  await count(one.page, 2);
  await count(two.page, 2);
  const [came, went] = await told(one.page, 'Grace');
  assert.deepEqual([came, went], ['Grace came', 'Grace went']);
  await one.page.getByRole('img', { name: /at most 2, now 2/ }).waitFor();
  if (process.env.SCREENSHOT) await one.page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.png)?$/, '-long.png'), fullPage: true });
  assert.deepEqual([...one.problems, ...two.problems], []);
  await context.close();
});

// Data comes from strangers: whatever it is, the page goes on and shows everybody.
test('members with strange data do not break the page', async () => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 1400 } });
  const { page, problems } = await open(context, 'Ada', '?channel=strange');
  const json = (data) => ({ data, encoding: 'json' });
  const strange = [
    json('null'), json('{'), json('5'), json('[1]'), json('{"name":null,"mood":{"a":1}}'),
    json('{"name":{"toString":1},"mood":{"toString":1}}'), json('{"name":"  "}'),
    json(`{"name":"${'n'.repeat(2000)}","mood":"\u202e<b id=bold>${'m'.repeat(2000)}"}`),
    { data: 'AAEC', encoding: 'base64' }, { data: 'x', encoding: 'json/cipher+aes' }, { data: 7 }, {},
  ];
  await page.evaluate(async (items) => {
    const { key } = await (await fetch('page.json')).json();
    items.forEach((item, i) => {
      const parameters = new URLSearchParams({ clientId: `strange-${i}`, key });
      const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/?${parameters}`);
      const send = (frame) => socket.send(JSON.stringify({ channel: 'strange', ...frame }));
      socket.onopen = () => send({ action: 10 });
      socket.onmessage = ({ data }) => {
        if (JSON.parse(data).action === 11) send({ action: 14, msgSerial: 0, presence: [{ action: 2, ...item }] });
      };
    });
  }, strange);
  await count(page, strange.length + 1);
  assert.equal(await members(page).count(), strange.length + 1);
  assert.equal(await page.locator('#bold').count(), 0);
  const longest = await page.locator('bdi').evaluateAll((all) => Math.max(...all.map((e) => [...e.textContent].length)));
  assert.equal(longest, 80);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.png)?$/, '-strange.png'), fullPage: true });
  assert.deepEqual(problems, []);
  await context.close();
});

test('by keyboard alone, on the width of a phone', async () => {
  const context = await browser.newContext({ viewport: { width: 360, height: 700 } });
  const { page, problems } = await open(context, 'Mary');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} pixels wide`);
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace(/(\.png)?$/, '-phone.png'), fullPage: true });

  const toggle = page.getByRole('button', { name: 'Present', pressed: true });
  await toggle.focus();
  await page.keyboard.press('Space');
  await count(page, 0);
  await page.keyboard.press('Space');
  await count(page, 1);
  assert.deepEqual(problems, []);
  await context.close();
});
