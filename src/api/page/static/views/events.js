// The tail of events: the last 200, newest first, filtered by words, held still on demand.
import { html, useRef, useState } from '../lib.js';
import { useSlice } from '../store.js';
import { FREQUENT } from '../live.js';
import { choose } from '../slots.js';
import { clock, count, shortId, words } from '../format.js';
import { tellingOf, toneOf } from '../telling.js';

const MOST = 200;
// Drawn at once; the rest on demand: a table of hundreds of rows that changes ten times a second costs too much.
const FIRST = 40;

function Line({ kept }) {
  const { event } = kept;
  const device = typeof event.device === 'string' ? event.device : '';
  return html`<li class="event">
    <time class="muted" datetime=${Number.isFinite(event.at) ? new Date(event.at * 1000).toISOString() : undefined}>${Number.isFinite(event.at) ? clock(event.at) : ''}</time>
    <span class=${`event-kind tone-${toneOf(event)}`}>${words(event.event)}</span>
    <span class="event-about">${event.slot ? html`<button type="button" class="link" onClick=${() => choose(event.slot)} aria-label=${`Show slot ${shortId(event.slot)}`}><code>${shortId(event.slot)}</code></button>` : html`<span class="muted">${device}</span>`}</span>
    <details class="event-text"><summary class="break">${tellingOf(event)}</summary><pre class="code" tabindex="0" role="region" aria-label="The whole event">${JSON.stringify(event, null, 2)}</pre></details>
  </li>`;
}

export function Events() {
  const live = useSlice('events');
  const [held, hold] = useState(null);
  const [filter, setFilter] = useState('');
  const [frequent, setFrequent] = useState(false);
  const [all, setAll] = useState(false);
  const texts = useRef(new WeakMap());
  const events = held ?? live;
  const textOf = kept => {
    if (!texts.current.has(kept)) texts.current.set(kept, `${words(kept.event.event)} ${JSON.stringify(kept.event)} ${tellingOf(kept.event)}`.toLowerCase());
    return texts.current.get(kept);
  };
  const terms = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = events.filter(kept => (frequent || !FREQUENT.has(kept.event.event)) && terms.every(term => textOf(kept).includes(term))).slice(0, MOST);
  const shown = all ? found : found.slice(0, FIRST);
  const missed = held ? live.filter(kept => kept.number > (held[0]?.number ?? 0)).length : 0;
  return html`<section id="events" class="card" aria-labelledby="events-title">
    <div class="card-head">
      <h2 id="events-title">Events</h2>
      <label class="inline"><span class="sr">Filter events by words</span><input type="search" class="small" placeholder="Filter: kind, slot, words…" value=${filter} onInput=${event => setFilter(event.currentTarget.value)} /></label>
      <label class="inline"><input type="checkbox" checked=${frequent} onChange=${event => setFrequent(event.currentTarget.checked)} /> progress and memory</label>
      <span class="muted tiny push">${count(found.length, 'event')}${missed > 0 ? `, ${missed >= MOST ? 'many' : missed} since held` : ''}</span>
      <button type="button" class="small" aria-pressed=${held ? 'true' : 'false'} onClick=${() => hold(held ? null : live)}>${held ? 'Go on' : 'Hold still'}</button>
    </div>
    ${shown.length > 0
      ? html`<div role="log" aria-live="off" aria-labelledby="events-title"><ol class="events">${shown.map(kept => html`<${Line} key=${kept.number} kept=${kept} />`)}</ol></div>`
      : html`<div class="empty"><strong>${filter ? 'No event fits the filter' : 'No events yet'}</strong>${!filter && html`<span>What happens in the node is told here as it happens.</span>`}</div>`}
    ${found.length > shown.length && html`<div class="card-foot"><button type="button" class="small" onClick=${() => setAll(true)}>Show all ${found.length}</button></div>`}
  </section>`;
}
