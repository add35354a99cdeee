// What came of a slot: its video with sound, what is said in it, the verdict with its keyframes, and the way to another.
import { html, useEffect, useState } from '../lib.js';
import { artifactPath, request } from '../api.js';
import { capital, duration, score, words } from '../format.js';
import { State } from './marks.js';
import { startFrom } from './form.js';

const fileOf = (slot, name) => slot.artifacts.find(artifact => artifact.name === name);

// A JSON file of the slot: { value, problem }.
function useJson(slot, name) {
  const [found, set] = useState({ value: null, problem: null });
  const artifact = fileOf(slot, name);
  useEffect(() => {
    if (!artifact) return undefined;
    let wanted = true;
    request('GET', artifactPath(slot.id, artifact)).then(
      value => wanted && set({ value, problem: null }),
      problem => wanted && set({ value: null, problem }),
    );
    return () => { wanted = false; };
  }, [slot.id, artifact?.sha256]);
  return found;
}

function Player({ slot, recipe }) {
  const video = fileOf(slot, 'video.mp4');
  const poster = fileOf(slot, 'actor.png');
  const [broken, setBroken] = useState(false);
  if (!video) return null;
  const script = recipe?.audio_track?.script;
  const path = artifactPath(slot.id, video);
  return html`<div class="player">
    <video controls playsinline preload="metadata" src=${path} poster=${poster && artifactPath(slot.id, poster)} aria-label="The finished video" onError=${() => setBroken(true)}></video>
    ${broken && html`<p class="note note-bad">The video cannot be played here; you can still download it below.</p>`}
    <div class="player-foot">
      ${script && html`<details class="transcript"><summary>What is said</summary><p class="break pre">${script}</p></details>`}
      <a class="button small" href=${path} download=${`${slot.id}.mp4`}>Download the video</a>
    </div>
  </div>`;
}

function reasonWords(reason) {
  const models = (reason.models ?? []).map(words).join(' and ');
  switch (reason.reason) {
    case 'score_too_low': return `${words(reason.model)} scores ${score(reason.score)}; at least ${score(reason.least)} is needed`;
    case 'ensemble_too_low': return `both models together score ${score(reason.score)}; the recipe asks for ${score(reason.least)}`;
    case 'required_absent': return `“${reason.concept}” is required and not seen by ${models}`;
    case 'banned_present': return `“${reason.concept}” is banned and seen by ${models}`;
    default: return words(reason.reason);
  }
}

function Score({ name, value, least }) {
  const hint = Number.isFinite(least) ? `at least ${score(least)}` : '';
  return html`<tr><th scope="row">${name}</th><td class="right">${score(value)}</td><td class="muted">${hint}</td></tr>`;
}

function Concepts({ concepts }) {
  if (!concepts?.length) return null;
  const seen = one => (one.present ? `seen (${Math.round(one.probability * 100)} %)` : `not seen (${Math.round(one.probability * 100)} %)`);
  return html`<table class="scores"><caption>Concepts</caption>
    <thead><tr><th scope="col">Concept</th><th scope="col">B/32</th><th scope="col">L/14</th></tr></thead>
    <tbody>${concepts.map(one => html`<tr key=${one.kind + one.concept}><th scope="row" class="break">${one.concept} <span class="muted tiny">${words(one.kind)}</span></th>
      <td>${seen(one.clip_b)}</td><td>${seen(one.clip_l)}</td></tr>`)}</tbody></table>`;
}

function Verdict({ slot, result }) {
  const verdict = result.verification;
  const fps = result.frames?.fps;
  const frames = slot.artifacts.filter(artifact => artifact.name.startsWith('keyframes/'));
  const warnings = [...new Map([...(verdict?.warnings ?? []), ...(result.warnings ?? [])].map(one => [one.message, one])).values()];
  return html`<h3>Verdict ${verdict && html`<${State} of=${verdict.passed ? 'done' : 'failed'} label=${verdict.passed ? 'passed' : 'not passed'} />`}</h3>
    ${!verdict && html`<p class="muted">The video was not judged.</p>`}
    ${verdict && html`
      ${verdict.reasons.length > 0 && html`<ul class="note note-bad">${verdict.reasons.map((reason, i) => html`<li key=${i}>${capital(reasonWords(reason))}</li>`)}</ul>`}
      <table class="scores"><caption class="sr">Scores: how well the keyframes fit the prompt</caption>
        <tbody><${Score} name="CLIP B/32" value=${verdict.clip_b} least=${verdict.thresholds?.clip_b} />
        <${Score} name="CLIP L/14" value=${verdict.clip_l} least=${verdict.thresholds?.clip_l} />
        <${Score} name="Together" value=${verdict.ensemble} /></tbody></table>
      <${Concepts} concepts=${verdict.concepts} />`}
    ${warnings.length > 0 && html`<ul class="note note-warn">${warnings.map(one => html`<li key=${one.message} class="break">${capital(one.message)}</li>`)}</ul>`}
    ${frames.length > 0 && html`<ul class="keyframes" aria-label="Keyframes">${frames.map(frame => {
      const index = Number.parseInt(frame.name.slice('keyframes/'.length), 10);
      const at = fps ? ` at ${duration(index / fps)}` : '';
      return html`<li key=${frame.name}><a href=${artifactPath(slot.id, frame)} target="_blank" rel="noopener"><img src=${artifactPath(slot.id, frame)} alt=${`Frame ${index}${at}`} loading="lazy" width="96" height="96" /></a><span class="muted tiny" aria-hidden="true">${index}</span></li>`;
    })}</ul>`}`;
}

export function Result({ slot }) {
  const recipe = useJson(slot, 'recipe.json');
  const result = useJson(slot, 'result.json');
  return html`<${Player} slot=${slot} recipe=${recipe.value} />
    ${recipe.value && html`<p class="prompt-line break">${recipe.value.visual_track?.prompt}</p>`}
    ${result.value && html`<${Verdict} slot=${slot} result=${result.value} />`}
    ${result.problem && html`<p class="note note-warn">The result could not be read. ${result.problem.words}</p>`}
    ${recipe.value && html`<div class="actions"><button type="button" class="small" onClick=${() => startFrom(recipe.value)}>Write another like it</button></div>`}`;
}
