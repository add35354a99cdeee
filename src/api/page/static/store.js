// The page's state, in slices; views use a slice and are drawn again when it changes. Knows no server and no view.
import { useEffect, useState } from './lib.js';

const state = {
  // What GET /v1/node said last, or null before the first answer.
  node: null,
  // The page of slots that is shown: see slots.js.
  slots: { list: [], filter: 'all', cursors: [null], after: null, loaded: false, problem: null },
  // The chosen slot: its id, its newest view, and what was wrong with asking for it.
  chosen: { id: null, view: null, problem: null },
  // By device: { points: [{ t, used, models, unaccounted }] }, oldest first: see memory.js.
  memory: new Map(),
  // The last events, newest first.
  events: [],
  // 'connecting', 'live' or 'lost', and since when (seconds since the epoch, of this browser's clock).
  connection: { state: 'connecting', since: Date.now() / 1000 },
  // Whether a sign-in is needed; the scopes of whoever is signed in (null: not known), those that a refusal named as
  // missing; and what was refused last, in words.
  session: { signedOut: false, scopes: null, lacks: [], refused: null },
  // What screen readers are told: { text, urgent, number }.
  news: { text: '', urgent: false, number: 0 },
  // A question that is put to the person: see views/dialog.js.
  question: null,
};

// These change with every event, of which there may be thousands a second: views hear of them ten times a second at most.
const BUSY = new Set(['events', 'slots', 'memory', 'node']);
const BUSY_EVERY = 100;

const listeners = new Map();
const changed = new Set();
// When listeners are told next: 0 for at the next frame, null for not at all.
let due = null;
let told = 0;

export const get = name => state[name];

// Replaces a slice. Views hear of it once per frame at most, however often it changes meanwhile.
export function set(name, value) {
  state[name] = value;
  changed.add(name);
  // No frames come while the page is hidden; then once a second does.
  const wait = document.hidden ? 1000 : BUSY.has(name) ? Math.max(0, told + BUSY_EVERY - performance.now()) : 0;
  if (due !== null && due <= wait) return;
  due = wait;
  if (wait > 0) setTimeout(flush, wait); else requestAnimationFrame(flush);
}

export const patch = (name, part) => set(name, { ...state[name], ...part });

function flush() {
  due = null;
  told = performance.now();
  const names = [...changed];
  changed.clear();
  for (const name of names) for (const listener of listeners.get(name) ?? []) listener(state[name]);
}

// The slice, for a view.
export function useSlice(name) {
  const [held, hold] = useState(() => ({ value: state[name] }));
  useEffect(() => {
    const listener = value => hold({ value });
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
    // It may have changed between the first drawing and now.
    if (state[name] !== held.value) listener(state[name]);
    return () => listeners.get(name).delete(listener);
  }, [name]);
  return held.value;
}

// Tells screen readers, politely, or at once where it is urgent.
export function tell(text, urgent = false) {
  set('news', { text, urgent, number: state.news.number + 1 });
}
