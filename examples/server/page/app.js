// The page: shows the members and what happens to them, and makes this tab one of them.

import { PresenceClient, dataOf } from './presence.js';

const CHANNEL = new URL(location).searchParams.get('channel') ?? 'lobby';
const EVENTS_KEPT = 50;
const VERBS = { enter: 'came', present: 'is here', update: 'changed', leave: 'went' };
const STATES = { connecting: 'Connecting…', connected: 'Connected', disconnected: 'Connection lost, trying again…', failed: 'Refused' };

const $ = (id) => document.getElementById(id);
const clientId = `guest-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
let client;
let present = true;

$('channel').textContent = CHANNEL;
$('name').value = `Guest ${clientId.slice(-3)}`;

function start(credentials) {
  client = new PresenceClient({ credentials, clientId, channel: CHANNEL });
  client.addEventListener('connection', ({ detail }) => showConnection(detail));
  client.addEventListener('members', showMembers);
  client.addEventListener('event', ({ detail }) => showEvent(detail));
  client.connect();
  client.enter(me());
}

function me() {
  return { name: $('name').value.trim(), mood: $('mood').value.trim() || $('mood').placeholder };
}

function showConnection({ state, reason }) {
  $('connection').dataset.state = state;
  $('connection').textContent = reason ? `${STATES[state]}: ${reason}` : STATES[state];
  if (state === 'failed') $('access').hidden = false;
}

function showMembers() {
  const members = client.members;
  $('count').textContent = members.length;
  $('nobody').hidden = members.length > 0;
  $('members').replaceChildren(...members.map(memberItem));
}

function memberItem(member) {
  const { name, mood } = dataOf(member);
  const shown = String(name || member.clientId);
  const face = element('span', shown.slice(0, 1).toUpperCase());
  face.className = 'face';
  face.style.background = `hsl(${hue(member.clientId)} 55% 38%)`;
  face.setAttribute('aria-hidden', 'true');
  const text = element('span', member.connectionId === client.connectionId ? `${shown} (you)` : shown);
  text.append(element('small', String(mood ?? '')));
  const item = document.createElement('li');
  item.dataset.clientId = member.clientId;
  item.append(face, text);
  return item;
}

function showEvent({ kind, member }) {
  const { name, mood } = dataOf(member);
  const time = element('time', new Date(member.timestamp).toLocaleTimeString());
  const what = kind === 'update' ? `changed: ${mood ?? ''}` : VERBS[kind];
  const item = document.createElement('li');
  item.append(time, element('span', `${name || member.clientId} ${what}`));
  $('events').prepend(item);
  while ($('events').children.length > EVENTS_KEPT) $('events').lastElementChild.remove();
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function hue(text) {
  let sum = 0;
  for (const c of text) sum = (sum * 31 + c.codePointAt(0)) % 360;
  return sum;
}

$('me').addEventListener('submit', (event) => {
  event.preventDefault();
  setPresent(true);
  client?.enter(me());
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

$('access-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const secret = $('key').value.trim();
  client?.close();
  $('access').hidden = true;
  start(secret.includes(':') ? { key: secret } : { accessToken: secret });
});

// A page that is left leaves at once; one that comes back out of the browser's cache starts anew.
addEventListener('pagehide', () => client?.close());
addEventListener('pageshow', (event) => event.persisted && location.reload());

// The server tells its development key; one with keys of its own tells none, and we ask.
const { key } = await (await fetch('page.json')).json();
if (key) start({ key });
else showConnection({ state: 'failed', reason: 'this server wants a key' });
