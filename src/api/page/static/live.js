// The stream of events: connects, reconnects, and hands each event to whom it concerns. Owns the connection's state.
//
// The browser reconnects by itself after a break and sends Last-Event-ID; after a refusal (401, 503) it does not, and we
// do, with growing pauses. After a gap, and after every connection made anew, the state is fetched again.
import { now, request } from './api.js';
import { get, patch, set, tell } from './store.js';
import { loadChosen, loadPage, slotEvent } from './slots.js';
import { memoryEvent, takeNode, takeSnapshots } from './memory.js';
import { words } from './format.js';

// Every kind of event there is (src/events/kind.rs): the browser hands out named events only to who asks by name.
const KINDS = [
  'accepted', 'stage_began', 'memory_awaited', 'run_ended', 'stage_progress', 'stage_again', 'audio_complete', 'image_complete', 'video_progress',
  'video_complete', 'clip_complete', 'generation_complete', 'slot_failed', 'slot_cancelled', 'slot_superseded', 'slot_left', 'end_not_kept', 'slot_moved',
  'journal_failed', 'actor_down', 'actor_restarted', 'model_loaded', 'model_ready', 'model_stalled', 'model_trimmed',
  'model_cordoned', 'memory', 'memory_snapshot', 'memory_pressure', 'blind', 'probes_rebuilt', 'probe_switched',
  'lease_refused', 'memory_occupied', 'crash_loop', 'crash_record_failed', 'video_encoded', 'pressure_caused', 'memory_remedy', 'admission_changed', 'leak_checked', 'escalated',
  'card_lost',
];
// Frequent, and of interest only while they happen.
export const FREQUENT = new Set(['run_ended', 'stage_progress', 'video_progress', 'memory', 'memory_snapshot']);
// After these the node's tree, pressure or readiness may be another.
const OF_NODE = new Set([
  'actor_down', 'actor_restarted', 'model_loaded', 'model_ready', 'model_stalled', 'model_trimmed', 'model_cordoned',
  'memory_pressure', 'blind', 'admission_changed', 'escalated', 'card_lost', 'accepted', 'stage_began',
  'generation_complete', 'slot_failed', 'slot_cancelled', 'slot_superseded', 'slot_left',
]);
const KEPT = 200;
// Of these, so many may have happened before the page was opened.
const TAIL = 100;
// Milliseconds.
const TAKEN_IN_EVERY = 150;
// What no event tells (queue, counts) is asked for now and then; this is also how a silent break is noticed.
const NODE_EVERY = 5_000;
const NODE_SOON = 500;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;

let source = null;
let pause = FIRST_PAUSE;
let number = 0;

function connection(state) {
  const before = get('connection');
  if (before.state === state) return;
  set('connection', { state, since: Date.now() / 1000 });
  if (state === 'lost') tell('The connection to the node is lost; what is shown is old', true);
  if (state === 'live' && before.state === 'lost') tell('Connected to the node again');
}

export async function loadNode() {
  try {
    const node = await request('GET', '/v1/node');
    set('node', node);
    takeNode(node);
    if (source?.readyState === EventSource.OPEN) connection('live');
    return true;
  } catch (problem) {
    if (!get('session').signedOut) connection('lost');
    return false;
  }
}

let nodeDue = null;
const nodeSoon = () => { nodeDue ??= setTimeout(() => { nodeDue = null; loadNode(); }, NODE_SOON); };

// Everything, from the beginning; whether the node answers. The node comes first: it says who may ask and from where on
// events are to be told.
async function loadAll() {
  if (!(await loadNode())) return false;
  loadPage();
  loadChosen();
  request('GET', '/v1/node/snapshots').then(takeSnapshots, () => {});
  return true;
}

function take(message, kind) {
  let event;
  try { event = JSON.parse(message.data); } catch { return; }
  event.event ??= kind;
  keep({ number: ++number, event });
  if (event.slot) slotEvent(event);
  if (kind === 'memory' || kind === 'memory_snapshot') memoryEvent(event);
  const isRecent = !Number.isFinite(event.at) || event.at >= now() - 10;
  if (OF_NODE.has(kind) && isRecent) nodeSoon();
  if (kind === 'memory_pressure' && isRecent) tell(`Memory pressure is ${words(event.level)}`, event.level === 'hard');
}

// Taken in together now and then: one by one, thousands a second would cost more than they tell.
const incoming = [];
function keep(kept) {
  incoming.push(kept);
  if (incoming.length === 1) setTimeout(takeIn, TAKEN_IN_EVERY);
  // However many come before that: what is pushed out of the tail anyway need not be held.
  if (incoming.length > KEPT * 8) takeIn();
}

function takeIn() {
  if (incoming.length === 0) return;
  set('events', [...incoming.splice(0).reverse(), ...get('events')].filter(keepable()));
}

// The last 200 that matter, and the last 200 frequent ones: the many do not push the few out.
function keepable() {
  let few = 0;
  let many = 0;
  return ({ event }) => (FREQUENT.has(event.event) ? ++many <= KEPT : ++few <= KEPT);
}

// Begins a little before now, so that the tail is not empty at first.
function connect() {
  source?.close();
  const { generation, sequence } = get('node').journal;
  source = new EventSource(`/v1/events?after=${encodeURIComponent(`${generation}-${Math.max(0, sequence - TAIL)}`)}`);
  let isFirst = true;
  source.addEventListener('open', () => {
    pause = FIRST_PAUSE;
    // Progress and memory are not sent again: what happened meanwhile is asked for.
    if (get('connection').state === 'lost') loadAll();
    connection('live');
  });
  source.addEventListener('error', () => {
    // It tries again by itself, unless it was refused.
    connection('lost');
    if (source.readyState === EventSource.CLOSED) again();
  });
  source.addEventListener('gap', () => {
    // The little before now may be kept no more: then nothing is missed that was seen.
    if (isFirst) { isFirst = false; return; }
    tell('Some events were missed; the state is fetched again');
    loadAll();
  });
  for (const kind of KINDS) source.addEventListener(kind, message => { isFirst = false; take(message, kind); });
}

let retry = null;
function again() {
  if (retry !== null) return;
  retry = setTimeout(async () => {
    retry = null;
    // Asks first by a plain request, which says why not: an event source does not.
    if (await loadAll()) connect(); else again();
  }, pause);
  pause = Math.min(LONGEST_PAUSE, pause * 2);
}

export async function begin() {
  if (await loadAll()) connect(); else again();
  setInterval(() => { if (!document.hidden && retry === null) loadNode(); }, NODE_EVERY);
  document.addEventListener('visibilitychange', () => { if (!document.hidden && retry === null) loadAll(); });
}

// Signs out of the state that a 401 left: tries at once, as after a sign-in in another tab.
export function tryNow() {
  pause = FIRST_PAUSE;
  clearTimeout(retry);
  retry = null;
  patch('session', { signedOut: false });
  again();
}
