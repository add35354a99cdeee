// Small parts that several views use: states with their marks, times that count on, stages' names.
import { html, useEffect, useState } from '../lib.js';
import { words } from '../format.js';

// A state is told by its word and its mark; the colour only repeats it.
const MARKS = {
  queued: ['○', 'idle'], running: ['▶', 'busy'], completed: ['✓', 'good'], failed: ['✕', 'bad'], cancelled: ['⊘', 'idle'],
  superseded: ['↷', 'idle'],
  waiting: ['○', 'idle'], done: ['✓', 'good'],
  up: ['●', 'good'], ready: ['●', 'good'], busy: ['▶', 'busy'], down: ['✕', 'bad'], loading: ['◐', 'warn'],
  warming: ['◐', 'warn'], trimming: ['◐', 'warn'], restarting: ['↻', 'warn'], cordoned: ['✕', 'bad'],
  normal: ['●', 'good'], soft: ['▲', 'warn'], hard: ['■', 'bad'], unknown: ['?', 'idle'],
  delivered: ['✓', 'good'], pending: ['○', 'idle'], undelivered: ['✕', 'bad'],
};

export function State({ of, label }) {
  const [mark, tone] = MARKS[of] ?? ['•', 'idle'];
  return html`<span class=${`state tone-${tone}`}><span class="mark" aria-hidden="true">${mark}</span>${label ?? words(of)}</span>`;
}

export const toneOf = state => (MARKS[state] ?? ['', 'idle'])[1];

const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// Draws the caller again every so many milliseconds while `running`: times count on.
export function useTick(running, every = 500) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => { if (!document.hidden) tick(n => n + 1); }, calm() ? Math.max(every, 1000) : every);
    return () => clearInterval(timer);
  }, [running, every]);
}

// Whether the window is at least this wide.
export function useWide(pixels) {
  const [query] = useState(() => matchMedia(`(min-width: ${pixels}px)`));
  const [matches, set] = useState(query.matches);
  useEffect(() => {
    const changed = () => set(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, [query]);
  return matches;
}

export function Copy({ text, what }) {
  const [said, say] = useState('');
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); say('copied'); } catch { say('could not be copied'); }
    setTimeout(() => say(''), 2000);
  };
  return html`<button type="button" class="small quiet" onClick=${copy} aria-label=${`Copy ${what}`}>${said || 'Copy'}</button>
    <span class="sr" role="status">${said}</span>`;
}
