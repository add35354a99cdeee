// Slots as a live Gantt chart of their stages: one row each, a button that chooses it. Up and down move between rows.
import { html, useRef, useState } from '../lib.js';
import { useSlice } from '../store.js';
import { now } from '../api.js';
import { choose, etaOf, isFinal, showFilter, showNewer, showOlder, STAGES } from '../slots.js';
import { place, segments, SPANS, ticks, window as windowOf } from '../gantt.js';
import { ago, capital, clock, coarse, duration, moment, shortId, words } from '../format.js';
import { State, useTick, useWide } from './marks.js';

const FILTERS = ['all', 'open', 'completed', 'failed', 'cancelled', 'superseded'];

// What a slot is doing, in a few words.
function doing(slot, at) {
  if (slot.state === 'queued') return Number.isFinite(slot.position) ? `place ${slot.position + 1}` : 'waiting';
  if (slot.state === 'running') {
    const stages = slot.stages.filter(stage => stage.state === 'running');
    return stages.map(({ stage, done, total }) => (total > 0 ? `${stage} ${done}/${total}` : stage)).join(', ') || 'between stages';
  }
  const took = Number.isFinite(slot.ended_at) ? `in ${duration(slot.ended_at - slot.accepted_at)}` : '';
  return slot.state === 'completed' ? took : words(slot.cause ?? '') || (Number.isFinite(slot.ended_at) ? ago(at - slot.ended_at) : '');
}

function Bars({ slot, frame, at }) {
  const found = segments(slot, at);
  const eta = etaOf(slot, at);
  const outside = Number.isFinite(slot.ended_at) && slot.ended_at < frame.from;
  const left = percent => `${Math.max(0, Math.min(100, percent)).toFixed(3)}%`;
  const bar = (segment, i) => {
    const a = place(segment.from, frame);
    const b = place(segment.to, frame);
    if (b < 0 || a > 100) return null;
    const share = 100 / segment.lanes;
    const style = {
      left: left(a), width: `${(Math.min(100, b) - Math.max(0, a)).toFixed(3)}%`,
      top: `${segment.lane * share}%`, height: `${share}%`,
    };
    const title = `${words(segment.stage)}: ${duration(segment.to - segment.from)}${segment.total ? `, ${segment.done} of ${segment.total}` : ''}`;
    return html`<span key=${i} class=${`bar stage-${segment.stage} ${segment.running ? 'runs' : ''}`} style=${style} title=${title}><span class="bar-name">${segment.stage}</span></span>`;
  };
  const end = Number.isFinite(slot.ended_at) ? place(slot.ended_at, frame) : null;
  const deadline = Number.isFinite(slot.deadline) ? place(slot.deadline, frame) : null;
  return html`<span class="bars">
    ${found.map(bar)}
    ${eta > 0 && html`<span class="bar-eta" style=${{ left: left(place(at, frame)), width: `${Math.min(100 - place(at, frame), (eta / frame.span) * 100).toFixed(3)}%` }} title=${`expected in ${coarse(eta)}`}></span>`}
    ${end !== null && end >= 0 && end <= 100 && slot.state !== 'completed' && html`<span class=${`bar-end end-${slot.state}`} style=${{ left: left(end) }}>${slot.state === 'failed' ? '✕' : '⊘'}</span>`}
    ${deadline !== null && deadline >= 0 && deadline <= 100 && html`<span class=${`bar-deadline ${isFinal(slot) ? 'is-past' : ''}`} style=${{ left: left(deadline) }} title=${`deadline ${moment(slot.deadline)}`}></span>`}
    ${outside && html`<span class="bar-outside">◂ ended ${ago(at - slot.ended_at)}</span>`}
  </span>`;
}

function Row({ slot, frame, at, chosen, stop, onKey }) {
  const eta = etaOf(slot, at);
  return html`<li><button type="button" class=${`row ${chosen ? 'is-chosen' : ''}`} data-slot=${slot.id} aria-current=${chosen ? 'true' : undefined} tabindex=${stop ? 0 : -1} onClick=${() => choose(slot.id)} onKeyDown=${onKey}>
    <span class="row-head">
      <code>${shortId(slot.id)}</code> <${State} of=${slot.state} />
      <span class="row-doing muted">${doing(slot, at)}${eta !== null && html`<span class="nowrap"> · ${coarse(eta)} left</span>`}
        ${slot.deadline_margin < 0 && html`<span class="tone-bad nowrap"> · late</span>`}</span>
    </span>
    <span class="track" aria-hidden="true"><${Bars} slot=${slot} frame=${frame} at=${at} /></span>
  </button></li>`;
}

function Axis({ frame, at, most }) {
  const { found, withSeconds } = ticks(frame, most);
  return html`<div class="axis" aria-hidden="true"><div class="axis-in">
    ${found.map(tick => html`<span key=${tick} class="tick" style=${{ left: `${place(tick, frame)}%` }}>${place(tick, frame) < 93 && html`<span>${clock(tick, withSeconds)}</span>`}</span>`)}
    <span class="tick tick-now" style=${{ left: `${place(at, frame)}%` }}></span>
  </div></div>`;
}

function Legend() {
  return html`<ul class="legend" aria-label="Colours of stages">
    ${['queued', ...STAGES].map(stage => html`<li key=${stage}><span class=${`swatch stage-${stage}`} aria-hidden="true"></span>${stage}</li>`)}
    <li><span class="swatch swatch-eta" aria-hidden="true"></span>expected</li>
    <li><span class="swatch swatch-deadline" aria-hidden="true"></span>deadline</li>
  </ul>`;
}

const EMPTY = {
  all: ['No slots yet', 'Write a recipe below and hand it in; its stages appear here as they are rendered.'],
  open: ['No open slots', 'Nothing waits and nothing is rendered right now.'],
  completed: ['None completed', 'Finished videos appear here.'],
  failed: ['None failed', 'Good.'],
  cancelled: ['None cancelled', ''],
  superseded: ['None superseded', 'No other node’s result was first.'],
};

export function Slots() {
  const slots = useSlice('slots');
  const chosen = useSlice('chosen');
  const [span, setSpan] = useState(null);
  const isWide = useWide(760);
  const rows = useRef(null);
  const { list, filter } = slots;
  useTick(true, list.some(slot => !isFinal(slot)) ? 250 : 2000);
  const at = now();
  const frame = windowOf(list, at, span);
  const first = list.some(slot => slot.id === chosen.id) ? chosen.id : list[0]?.id;
  const onKey = event => {
    const buttons = [...rows.current.querySelectorAll('.row')];
    const from = buttons.indexOf(event.currentTarget);
    const to = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(buttons.length - 1, to))].focus();
  };
  const [emptyTitle, emptyText] = EMPTY[filter];
  return html`<section id="slots" class="card" aria-labelledby="slots-title">
    <div class="card-head">
      <h2 id="slots-title">Slots</h2>
      <div class="segmented" role="group" aria-label="Which slots">
        ${FILTERS.map(name => html`<button key=${name} type="button" aria-pressed=${filter === name ? 'true' : 'false'} onClick=${() => showFilter(name)}>${capital(name)}</button>`)}
      </div>
      <label class="inline push"><span class="muted">Span</span>
        <select class="small" value=${span ?? ''} onChange=${event => setSpan(event.currentTarget.value === '' ? null : Number(event.currentTarget.value))}>
          <option value="">fits</option>${SPANS.map(one => html`<option key=${one} value=${one}>${coarse(one)}</option>`)}
        </select></label>
    </div>
    ${slots.problem && html`<p class="note note-bad">The list could not be fetched. ${slots.problem.words}</p>`}
    ${list.length > 0 && html`<div class="gantt">
      <${Axis} frame=${frame} at=${at} most=${isWide ? 8 : 4} />
      <p class="sr">Slots, newest first. Arrow keys move between them, Enter shows one.</p>
      <ul ref=${rows} class="rows">${list.map(slot => html`<${Row} key=${slot.id} slot=${slot} frame=${frame} at=${at} chosen=${slot.id === chosen.id} stop=${slot.id === first} onKey=${onKey} />`)}</ul>
    </div>`}
    ${list.length === 0 && html`<div class="empty">${slots.loaded ? html`<strong>${emptyTitle}</strong><span>${emptyText}</span>` : html`<span>Fetching slots…</span>`}</div>`}
    <div class="card-foot">
      <${Legend} />
      ${(slots.cursors.length > 1 || slots.after) && html`<div class="pager">
        <button type="button" class="small" disabled=${slots.cursors.length < 2} onClick=${showNewer}>Newer</button>
        <span class="muted tiny">page ${slots.cursors.length}</span>
        <button type="button" class="small" disabled=${!slots.after} onClick=${showOlder}>Older</button>
      </div>`}
    </div>
  </section>`;
}
