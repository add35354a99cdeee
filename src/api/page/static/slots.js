// What is known of slots: the page of the list that is shown, and the chosen slot. Fetches them, and applies events to
// them between two fetches, so that stages move as they happen.
//
// The node's answers are the truth; events only bring them forward. An event that is older than an answer changes
// nothing, so that a replay of the past cannot open a finished slot again.
import { now, request, slotPath } from './api.js';
import { get, patch, set, tell } from './store.js';
import { shortId, words } from './format.js';

export const STAGES = ['audio', 'image', 'video', 'verify', 'package'];
const PAGE = 15;
const FILTERS = {
  all: '', open: 'queued,running', completed: 'completed', failed: 'failed', cancelled: 'cancelled',
  superseded: 'superseded',
};
// Positions and estimates of open slots move without events.
const REFRESH = 5_000;
// Many slots may begin and end within a second: the list is fetched at most this often.
const AT_MOST_EVERY = 700;

const FINAL = new Set(['completed', 'failed', 'cancelled', 'superseded']);
export const isFinal = slot => FINAL.has(slot.state);

// A slot as the page keeps it: the node's view, and when it was fetched.
const received = slot => ({ ...slot, fetchedAt: now() });

// Expected seconds until the end, counted down since the answer; null where there is none.
export const etaOf = (slot, at) => (Number.isFinite(slot.eta) && !isFinal(slot) ? Math.max(0, slot.eta - (at - slot.fetchedAt)) : null);

let wanted = 0;

export async function loadPage() {
  const mine = ++wanted;
  const { filter, cursors } = get('slots');
  const query = new URLSearchParams({ limit: PAGE });
  if (FILTERS[filter]) query.set('state', FILTERS[filter]);
  const after = cursors.at(-1);
  if (after) query.set('after', after);
  try {
    const page = await request('GET', `/v1/slots?${query}`);
    // A later question (another filter, another page) has overtaken this one.
    if (mine !== wanted) return;
    patch('slots', { list: page.slots.map(received), after: page.after ?? null, loaded: true, problem: null });
    const { id } = get('chosen');
    const listed = page.slots.find(slot => slot.id === id);
    if (listed) patch('chosen', { view: received(listed) });
  } catch (problem) {
    if (mine === wanted) patch('slots', { loaded: true, problem });
  }
}

export function showFilter(filter) {
  patch('slots', { filter, cursors: [null], loaded: false, list: [] });
  loadPage();
}

export function showOlder() {
  const { after, cursors } = get('slots');
  if (!after) return;
  patch('slots', { cursors: [...cursors, after] });
  loadPage();
}

export function showNewer() {
  const { cursors } = get('slots');
  if (cursors.length < 2) return;
  patch('slots', { cursors: cursors.slice(0, -1) });
  loadPage();
}

// Chooses a slot; null for none. The address keeps it, so that it can be passed on.
export function choose(id) {
  const view = get('slots').list.find(slot => slot.id === id) ?? null;
  set('chosen', { id, view, problem: null });
  const hash = id ? `#slot=${id}` : '#slots';
  if (location.hash !== hash) history.replaceState(null, '', hash);
  if (id) loadChosen();
}

export async function loadChosen() {
  const { id } = get('chosen');
  if (!id) return;
  try {
    const view = received(await request('GET', slotPath(id)));
    if (get('chosen').id === id) hold(view);
  } catch (problem) {
    if (get('chosen').id === id) patch('chosen', { problem });
  }
}

// Takes a newer view of a slot in, wherever it is shown.
export function hold(view) {
  const slot = view.fetchedAt ? view : received(view);
  const slots = get('slots');
  if (slots.list.some(other => other.id === slot.id)) {
    patch('slots', { list: slots.list.map(other => (other.id === slot.id ? slot : other)) });
  }
  if (get('chosen').id === slot.id) set('chosen', { id: slot.id, view: slot, problem: null });
}

export async function cancel(id) {
  hold(await request('DELETE', slotPath(id)));
  soon();
}

let due = null;
// Fetches the list soon, and once for however many reasons come until then.
export function soon() {
  due ??= setTimeout(() => { due = null; loadPage(); }, AT_MOST_EVERY);
}

setInterval(() => {
  if (document.hidden || get('connection').state === 'lost' || get('session').signedOut) return;
  if (get('slots').list.some(slot => !isFinal(slot))) soon();
  const { view } = get('chosen');
  if (view && !isFinal(view) && !get('slots').list.some(slot => slot.id === view.id)) loadChosen();
}, REFRESH);

function stage(slot, name, part) {
  return { ...slot, stages: slot.stages.map(one => (one.stage === name ? { ...one, ...part } : one)) };
}

const DONE = { audio_complete: 'audio', image_complete: 'image', video_complete: 'video', clip_complete: 'verify' };

// The slot after an event, or the same where the event says nothing new of it. Pure.
function applied(slot, event) {
  if (isFinal(slot)) return slot;
  switch (event.event) {
    case 'stage_began': {
      const begun = { state: 'running', attempt: event.attempt, began_at: event.at, ended_at: undefined, done: undefined, total: undefined };
      return { ...stage(slot, event.stage, begun), state: 'running', position: undefined, device: event.device ?? slot.device };
    }
    case 'stage_progress':
    case 'video_progress': {
      const name = event.stage ?? 'video';
      const one = slot.stages.find(other => other.stage === name);
      if (one?.state !== 'running') return slot;
      return stage(slot, name, { done: event.progress.done, total: event.progress.total });
    }
    case 'stage_again':
      return stage(slot, event.stage, { state: 'waiting', done: undefined, total: undefined });
    case 'audio_complete':
    case 'image_complete':
    case 'video_complete':
    case 'clip_complete':
      return stage(slot, DONE[event.event], { state: 'done', ended_at: event.at });
    case 'generation_complete':
      return { ...stage(slot, 'package', { state: 'done', ended_at: event.at }), state: 'completed', ended_at: event.at, eta: undefined };
    case 'slot_failed':
      return { ...slot, state: 'failed', ended_at: event.at, cause: event.cause, message: event.message, eta: undefined };
    case 'slot_cancelled':
      return { ...slot, state: 'cancelled', ended_at: event.at, cause: event.cause, eta: undefined };
    case 'slot_superseded':
      return { ...slot, state: 'superseded', ended_at: event.at, eta: undefined };
    case 'slot_moved':
      return { ...slot, device: event.device ?? slot.device };
    default:
      return slot;
  }
}

const ENDS = {
  generation_complete: 'completed', slot_failed: 'failed', slot_cancelled: 'cancelled', slot_superseded: 'superseded',
};
// Stages and answers are stamped by the same clock; the answer's own time is ours, which may differ by this much.
const LEEWAY = 3;

export function slotEvent(event) {
  const { list, cursors } = get('slots');
  const chosen = get('chosen');
  const isNews = slot => event.at >= slot.fetchedAt - LEEWAY;
  const at = list.findIndex(slot => slot.id === event.slot);
  if (at >= 0 && isNews(list[at])) {
    const next = applied(list[at], event);
    if (next !== list[at]) patch('slots', { list: list.with(at, next) });
  }
  if (chosen.view?.id === event.slot && isNews(chosen.view)) {
    const next = applied(chosen.view, event);
    if (next !== chosen.view) patch('chosen', { view: next });
  }
  const isRecent = event.at >= now() - 10;
  if (event.event === 'accepted' && cursors.length === 1 && isRecent) soon();
  if (ENDS[event.event] && isRecent) {
    // Files, verdict and times come with the node's own view.
    if (chosen.id === event.slot) setTimeout(loadChosen, 50);
    soon();
    const why = event.cause ? `: ${words(event.cause)}` : '';
    tell(`Slot ${shortId(event.slot)} ${ENDS[event.event]}${why}`);
  }
}
