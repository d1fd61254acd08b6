// The page: shows the members and what happens to them, and makes this tab one of them.
//
// Parameters of the address: `channel`, and `grace`, for how many milliseconds the server keeps
// this tab's member after a loss.

import { PresenceClient, dataOf } from './presence.js';

const parameters = new URL(location).searchParams;
const CHANNEL = parameters.get('channel') ?? 'lobby';
const GRACE_MS = Number(parameters.get('grace')) || 15_000;
const EVENTS_KEPT = 50;
const MEMBERS_SHOWN = 200; // the rest are counted
const TEXT_SHOWN = 80; // characters of what others call themselves, and say
const PLOT = { span: 120_000, width: 240, height: 60 };
const VERBS = { enter: 'came', present: 'is here', update: 'changed: ', leave: 'went' };
const STATES = {
  initialized: 'Not connected',
  connecting: 'Connecting…',
  connected: 'Connected',
  disconnected: 'Connection lost',
  suspended: 'No connection for long',
  closing: 'Leaving…',
  closed: 'Left',
  failed: 'Refused',
};

const $ = (id) => document.getElementById(id);
const clientId = `guest-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
let client;
let present = true;
let outage; // the timer that ends it
let since = new Map(); // member key: when this tab first heard of it
const counts = [{ at: performance.now(), count: 0 }]; // changes of the number of members

$('channel').textContent = CHANNEL;
$('name').value = `Guest ${clientId.slice(-3)}`;
$('grace').textContent = GRACE_MS === 1000 ? 'a second' : `${GRACE_MS / 1000} seconds`;

async function start(credentials) {
  try {
    client = await PresenceClient.create({ channel: CHANNEL, clientId, credentials, grace: GRACE_MS });
  } catch (error) {
    $('connection').dataset.state = 'failed';
    $('connection').textContent = `This page does not work here (${error.message})`;
    return;
  }
  client.addEventListener('connection', ({ detail }) => showConnection(detail));
  client.addEventListener('members', showMembers);
  client.addEventListener('presence', ({ detail }) => showPresence(detail));
  client.addEventListener('trouble', ({ detail }) => log(brief(detail.text)));
  client.connect();
  client.enter(me());
}

function me() {
  return { name: $('name').value.trim(), mood: $('mood').value.trim() || $('mood').placeholder };
}

function showConnection({ state, reason, retryIn }) {
  const shown = $('connection');
  // Attempts that fail again are no news.
  if (state !== 'connecting' && shown.dataset.told !== state) log(STATES[state]);
  if (state !== 'connecting') shown.dataset.told = state;
  shown.dataset.state = state;
  shown.textContent = STATES[state];
  if (state === 'failed' && reason) shown.textContent += ` (${reason})`;
  if (state === 'disconnected' || state === 'suspended') {
    shown.textContent += retryIn ? `, next try in ${Math.ceil(retryIn / 1000)} s` : ', trying again…';
  }
  if (state === 'failed') $('access').hidden = false;
  $('stale').hidden = state === 'connected' || client?.members.length === 0;
}

function showMembers() {
  const members = client.members;
  since = new Map(members.map((m) => [keyOf(m), since.get(keyOf(m)) ?? m.timestamp]));
  if (counts.at(-1).count !== members.length) {
    counts.push({ at: performance.now(), count: members.length });
    drawPlot();
  }
  $('count').textContent = members.length;
  $('nobody').hidden = members.length > 0;
  $('members').replaceChildren(...members.slice(0, MEMBERS_SHOWN).map(memberItem));
  $('more').hidden = members.length <= MEMBERS_SHOWN;
  $('more').textContent = `and ${members.length - MEMBERS_SHOWN} more`;
}

const keyOf = ({ connectionId, clientId }) => `${connectionId}:${clientId}`;

function memberItem(member) {
  const { mood } = dataOf(member);
  const name = nameOf(member);
  const face = element('span', [...name][0].toUpperCase());
  face.className = 'face';
  face.style.background = `hsl(${hue(member.clientId)} 55% 30%)`;
  face.setAttribute('aria-hidden', 'true');
  const text = element('span', element('bdi', name), member.connectionId === client.connectionId ? ' (you)' : '');
  const change = element('small');
  change.className = 'change';
  change.dataset.since = since.get(keyOf(member));
  change.dataset.at = member.timestamp;
  tellAge(change);
  text.append(element('small', element('bdi', brief(mood))), change);
  const item = element('li', face, text);
  item.dataset.clientId = member.clientId;
  return item;
}

// Others choose their names: they are cut, and put into `bdi` elements so that they turn no text
// around but their own.
function nameOf(member) {
  return brief(dataOf(member).name.trim() || member.clientId);
}

function brief(text) {
  const characters = [...text];
  return characters.length > TEXT_SHOWN ? `${characters.slice(0, TEXT_SHOWN - 1).join('')}…` : text;
}

// Since when a member is here, and how long its last change is ago, in words.
function tellAge(change) {
  const [since, at] = [Number(change.dataset.since), Number(change.dataset.at)];
  const here = `here since ${new Date(since).toLocaleTimeString()}`;
  change.textContent = at > since ? `${here}, changed ${ago(Date.now() - at)}` : here;
}

function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 5) return 'just now';
  if (seconds < 120) return `${seconds} s ago`;
  return `${Math.round(seconds / 60)} min ago`;
}

function showPresence({ kind, member }) {
  const parts = [element('bdi', nameOf(member)), ` ${VERBS[kind]}`];
  if (kind === 'update') parts.push(element('bdi', brief(dataOf(member).mood)));
  // Who was here already is news now.
  log(parts, kind === 'present' ? Date.now() : member.timestamp);
}

function log(what, at = Date.now()) {
  const time = element('time', new Date(at).toLocaleTimeString());
  $('events').prepend(element('li', time, element('span', ...[what].flat())));
  while ($('events').children.length > EVENTS_KEPT) $('events').lastElementChild.remove();
}

// The number of members as steps, from the left (two minutes ago) to the right (now).
function drawPlot() {
  const now = performance.now();
  while (counts.length > 1 && counts[1].at <= now - PLOT.span) counts.shift();
  const most = Math.max(...counts.map(({ count }) => count));
  const x = (at) => Math.max(0, PLOT.width * (1 - (now - at) / PLOT.span)).toFixed(1);
  const y = (count) => (PLOT.height * (1 - count / (most + 1))).toFixed(1);
  const steps = counts.map(({ at, count }, i) => `${i ? 'H' : 'M'}${x(at)}${i ? '' : ` ${y(count)}`}V${y(count)}`);
  const line = `${steps.join('')}H${PLOT.width}`;
  $('plot-line').setAttribute('d', line);
  $('plot-area').setAttribute('d', `${line}V${PLOT.height}H${x(counts[0].at)}Z`);
  $('plot-range').textContent = `at most ${most} at once`;
  $('plot').setAttribute('aria-label', `Members in the last two minutes: at most ${most}, now ${counts.at(-1).count}`);
}

setInterval(() => {
  drawPlot();
  for (const change of document.querySelectorAll('.change')) tellAge(change);
}, 1000);

// An element with text or other elements in it. Text is never taken for markup.
function element(tag, ...content) {
  const made = document.createElement(tag);
  made.append(...content);
  return made;
}

function hue(text) {
  let sum = 0;
  for (const c of text) sum = (sum * 31 + c.codePointAt(0)) % 360;
  return sum;
}

$('me').addEventListener('submit', (event) => {
  event.preventDefault();
  if (present) client?.update(me());
  else client?.enter(me());
  setPresent(true);
});

$('toggle').addEventListener('click', () => {
  setPresent(!present);
  if (present) client?.enter(me());
  else client?.leave();
});

function setPresent(value) {
  present = value;
  $('toggle').setAttribute('aria-pressed', String(value));
}

$('network').addEventListener('submit', (event) => {
  event.preventDefault();
  if (client) setOffline(!client.offline);
});

function setOffline(offline) {
  clearTimeout(outage);
  const seconds = Number($('outage').value);
  if (offline && seconds) outage = setTimeout(() => setOffline(false), seconds * 1000);
  log(offline ? 'You dropped the network' : 'The network is back');
  $('drop').textContent = offline ? 'Bring it back' : 'Drop the network';
  $('outage').disabled = offline;
  client.offline = offline;
}

$('access-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const secret = $('key').value.trim();
  client?.close();
  $('access').hidden = true;
  start(secret.includes(':') ? { key: secret } : { accessToken: secret });
});

addEventListener('pagehide', () => client?.close());
// Back from where the browser keeps pages: it has left, and comes anew.
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());

// The server tells its development key; one with keys of its own tells none, and we ask.
const { key } = await (await fetch('page.json')).json();
if (key) await start({ key });
else showConnection({ state: 'failed', reason: 'this server wants a key' });
