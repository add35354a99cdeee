// One slot: how it stands, its stages, and once it has ended its video, verdict and files. Cancels it, if asked to.
import { html, useEffect, useRef, useState } from '../lib.js';
import { tell, useSlice } from '../store.js';
import { artifactPath, may, now, storeAddress } from '../api.js';
import { cancel, choose, etaOf, isFinal } from '../slots.js';
import { bytes, capital, coarse, count, duration, moment, shortId, words } from '../format.js';
import { Copy, State, useTick } from './marks.js';
import { ask } from './dialog.js';
import { Result } from './result.js';

function Stages({ slot, at }) {
  return html`<table class="stages"><caption class="sr">Stages</caption>
    <thead><tr><th scope="col">Stage</th><th scope="col">State</th><th scope="col" class="right">Took</th></tr></thead>
    <tbody>${slot.stages.map(stage => {
      const isRunning = stage.state === 'running' && !isFinal(slot);
      const until = stage.ended_at ?? (isRunning ? at : slot.ended_at);
      const took = Number.isFinite(stage.began_at) && Number.isFinite(until) && stage.state !== 'waiting' ? duration(Math.max(0, until - stage.began_at)) : '–';
      const state = stage.state === 'running' && !isRunning ? 'stopped' : stage.state;
      return html`<tr key=${stage.stage}>
        <th scope="row"><span class=${`swatch stage-${stage.stage}`} aria-hidden="true"></span>${capital(stage.stage)}</th>
        <td><${State} of=${state} />${stage.attempt > 1 && html` <span class="muted tiny">attempt ${stage.attempt}</span>`}
          ${isRunning && stage.total > 0 && html`<span class="progress"><progress max=${stage.total} value=${stage.done} aria-label=${`${capital(stage.stage)}: progress`}></progress><span class="muted tiny">${stage.done} of ${stage.total}</span></span>`}</td>
        <td class="right">${took}</td>
      </tr>`;
    })}</tbody></table>`;
}

function Margin({ slot, at }) {
  if (!Number.isFinite(slot.deadline)) return html`<span class="muted">none</span>`;
  const margin = slot.deadline_margin;
  const text = !Number.isFinite(margin) ? ''
    : margin >= 0 ? `${coarse(margin)} ${isFinal(slot) ? 'to spare' : 'to spare, as expected'}`
      : `${coarse(-margin)} ${isFinal(slot) ? 'late' : 'late, as expected'}`;
  return html`${moment(slot.deadline)}${!isFinal(slot) && ` (in ${coarse(slot.deadline - at)})`}
    ${text && html` <span class=${margin < 0 ? 'tone-bad' : 'tone-good'}>${text}</span>`}`;
}

function Facts({ slot, at }) {
  const eta = etaOf(slot, at);
  const rows = [
    ['Accepted', moment(slot.accepted_at)],
    Number.isFinite(slot.position) && ['Place in the queue', slot.position + 1],
    eta !== null && ['Expected end', `in ${coarse(eta)}`],
    Number.isFinite(slot.ended_at) && ['Ended', `${moment(slot.ended_at)}, after ${duration(slot.ended_at - slot.accepted_at)}`],
    ['Deadline', html`<${Margin} slot=${slot} at=${at} />`],
    slot.device && ['Device', slot.device],
    slot.attempts > 1 && ['Taken up', `${slot.attempts} times: restarts interrupted it`],
    slot.delivery && ['Artifact store', html`<${State} of=${slot.delivery} />`],
    slot.webhook && ['Webhook', html`<span class="break">${slot.webhook.url}</span> ${slot.webhook.state && html`<${State} of=${slot.webhook.state} />`}
      ${slot.webhook.error && html`<span class="tone-bad break">${slot.webhook.error}</span>`}`],
    Number.isFinite(slot.expires_at) && ['Files are kept until', moment(slot.expires_at)],
    slot.trace_id && ['Trace', html`<code class="break">${slot.trace_id}</code>`],
    ['Recipe’s SHA-256', html`<code class="break">${slot.recipe_sha256}</code>`],
  ].filter(Boolean);
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Cancel({ slot }) {
  const session = useSlice('session');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const allowed = may(session, 'submit');
  const stop = async () => {
    const agreed = await ask({
      title: `Cancel slot ${shortId(slot.id)}?`, yes: 'Cancel the slot', danger: true,
      text: 'It is stopped wherever it stands, and stays stopped. What it has made so far is not handed over.',
    });
    if (!agreed) return;
    setBusy(true);
    setProblem('');
    try { await cancel(slot.id); } catch (error) { setProblem(error.words); tell(`Not cancelled. ${error.words}`, true); }
    setBusy(false);
  };
  return html`<div class="actions"><button type="button" class="danger" disabled=${!allowed || busy} aria-describedby=${allowed ? undefined : 'cancel-why'} onClick=${stop}>${busy ? 'Cancelling…' : 'Cancel this slot'}</button>
    ${!allowed && html`<span id="cancel-why" class="muted tiny">needs the scope “submit”</span>`}</div>
    ${problem && html`<p class="note note-bad">${problem}</p>`}`;
}

function Files({ slot }) {
  if (slot.artifacts.length === 0) return null;
  const table = (files, what) => html`<table class="files"><caption class="sr">${what}</caption>
    <thead class="sr"><tr><th scope="col">Name</th><th scope="col">Size</th></tr></thead>
    <tbody>${files.map(artifact => html`<tr key=${artifact.name}>
      <td><a class="break" href=${artifactPath(slot.id, artifact)} download=${artifact.name.split('/').at(-1)} title=${`SHA-256 ${artifact.sha256}`}>${artifact.name}</a>
        ${storeAddress(artifact) && html` <a class="tiny" href=${storeAddress(artifact)} rel="noopener noreferrer" aria-label=${`${artifact.name} in the artifact store`}>store</a>`}</td>
      <td class="right muted">${bytes(artifact.bytes)}</td></tr>`)}</tbody></table>`;
  const inFolder = slot.artifacts.filter(({ name }) => name.includes('/'));
  return html`<h3>Files</h3>${table(slot.artifacts.filter(artifact => !inFolder.includes(artifact)), 'Files of this slot')}
    ${inFolder.length > 0 && html`<details class="more"><summary>${count(inFolder.length, 'keyframe')}</summary>${table(inFolder, 'Keyframes of this slot')}</details>`}`;
}

// The end of a slot in a sentence, where it is not a good one.
function Ending({ slot }) {
  if (slot.state === 'superseded') {
    return html`<div class="note"><p><strong>Superseded: another node’s result was first</strong></p>
      ${slot.message && html`<p class="break">${slot.message}</p>`}</div>`;
  }
  if (slot.state !== 'failed' && !(slot.state === 'cancelled' && slot.cause)) return null;
  const stage = slot.stages.find(one => one.state === 'running');
  return html`<div class=${`note ${slot.state === 'failed' ? 'note-bad' : ''}`}>
    <p><strong>${capital(slot.state)}${slot.cause ? `: ${words(slot.cause)}` : ''}${stage && slot.state === 'failed' ? ` (in ${stage.stage})` : ''}</strong></p>
    ${slot.message && html`<p class="break">${slot.message}</p>`}</div>`;
}

export function Detail() {
  const { id, view: slot, problem } = useSlice('chosen');
  const title = useRef(null);
  useTick(slot && !isFinal(slot), 500);
  const last = useRef(null);
  useEffect(() => {
    // Whoever chose a slot reads on here; what was chosen by the address at the start leaves the focus alone.
    if (id && last.current !== id && document.activeElement?.dataset?.slot === id && innerWidth < 1100) title.current?.focus();
    last.current = id;
  }, [id, slot !== null]);
  const at = now();
  if (!id) return null;
  return html`<section id="slot" class="card" aria-labelledby="slot-title">
    <div class="card-head">
      <h2 id="slot-title" ref=${title} tabindex="-1">Slot <code>${shortId(id)}</code></h2>
      ${slot && html`<${State} of=${slot.state} />`}
      <button type="button" class="small quiet push" onClick=${() => choose(null)} aria-label="Close this slot">Close</button>
    </div>
    <p class="slot-id"><code class="break">${id}</code> <${Copy} text=${id} what="the slot’s id" /></p>
    ${problem && html`<p class="note note-bad">${problem.words}</p>`}
    ${!slot && !problem && html`<div class="empty"><span>Fetching the slot…</span></div>`}
    ${slot && html`<${Ending} slot=${slot} />
      ${slot.state === 'completed' && html`<${Result} key=${slot.id} slot=${slot} />`}
      <${Stages} slot=${slot} at=${at} />
      <${Facts} slot=${slot} at=${at} />
      ${!isFinal(slot) && html`<${Cancel} key=${slot.id} slot=${slot} />`}
      ${slot.state === 'failed' && html`<${Result} key=${slot.id} slot=${slot} />`}
      <${Files} slot=${slot} />`}
  </section>`;
}
