// The form that writes a recipe: checks it as the person types, shows its JSON, hands it in, and shows beside the fields
// what the node has to say against it. Takes a whole recipe as JSON too, such as a signed one.
import { html, useEffect, useMemo, useRef, useState } from '../lib.js';
import { patch, tell, useSlice } from '../store.js';
import { may, now, request, slotPath } from '../api.js';
import { choose, hold, loadPage } from '../slots.js';
import { loadNode } from '../live.js';
import { capital, coarse, shortId } from '../format.js';
import { newId, pretty, problemsOf, recipeOf, valuesOf, withoutRemarks } from '../recipe.js';
import { Fields } from './fields.js';
import { HOOK, Hook, headersOf, problemsOfHook } from './hook.js';
import { idOf } from './field.js';

// Lets others begin a recipe from one that there is, with an id of its own.
let begin = null;
export function startFrom(recipe) {
  begin?.(recipe);
  document.getElementById('new')?.scrollIntoView();
  document.getElementById(idOf('visual_track.prompt'))?.focus({ preventScroll: true });
}

// What the node serves for the form: { schema, example, webhook_events }, the example as its file has it.
function useContract() {
  const [contract, set] = useState(null);
  useEffect(() => {
    fetch(new URL('../recipe.json', import.meta.url)).then(answer => answer.json()).then(set, () => {});
  }, []);
  return contract;
}

// The first recipe: the example, with a prompt and a voice that this node knows.
function firstValues(contract, node) {
  const example = JSON.parse(withoutRemarks(contract.example));
  const values = valuesOf({ ...example, recipe_id: newId() });
  if (node?.prompts.length > 0) values['visual_track.prompt'] = node.prompts[0];
  if (node?.voices.length > 0 && !node.voices.includes(values['audio_track.voice_id'])) {
    [values['audio_track.voice_id']] = node.voices;
  }
  return values;
}

// The node's problems by path. Those of no field of the form are kept under ''.
function byPath(problem) {
  const found = {};
  for (const { path, found: what, accepted, message } of problem.errors) {
    const words = message ?? `The node says: ${what}; accepted: ${accepted}.`;
    found[path ?? ''] = found[path ?? ''] ? `${found[path ?? '']} ${words}` : words;
  }
  return found;
}

function parse(text) {
  try { return { recipe: JSON.parse(withoutRemarks(text)), problem: null }; } catch (error) {
    return { recipe: null, problem: `It is no JSON document: ${error.message}` };
  }
}

function Json({ text, editing, onEdit, onInput, onFile, problem }) {
  const file = event => {
    const [chosen] = event.currentTarget.files;
    // A recipe has at most a mebibyte.
    if (chosen) chosen.slice(0, 1 << 20).text().then(onFile);
    event.currentTarget.value = '';
  };
  return html`<div class="json">
    <div class="card-head"><h3 id="json-title">Recipe as JSON</h3>
      <span class="push actions"><label class="button small">Open a file<input class="sr" type="file" accept=".json,application/json" onChange=${file} /></label>
      <button type="button" class="small" aria-pressed=${editing ? 'true' : 'false'} onClick=${onEdit}>${editing ? 'Back to the form' : 'Edit as JSON'}</button></span></div>
    ${editing
      ? html`<textarea class="code" rows="24" spellcheck="false" aria-labelledby="json-title" aria-invalid=${problem ? 'true' : undefined} value=${text} onInput=${event => onInput(event.currentTarget.value)}></textarea>`
      : html`<pre class="code" tabindex="0" role="region" aria-labelledby="json-title">${text}</pre>`}
    <p class="hint">${editing ? 'A signed recipe must be handed in as it was signed. Remarks after // are allowed.' : 'What is handed in.'}</p>
  </div>`;
}

export function Form() {
  const contract = useContract();
  const node = useSlice('node');
  const session = useSlice('session');
  const [values, setValues] = useState(null);
  const [text, setText] = useState(null);
  const [touched, setTouched] = useState({});
  const [refusal, setRefusal] = useState(null);
  const [accepted, setAccepted] = useState(null);
  const [busy, setBusy] = useState(false);
  // Beside the recipe, which may be signed: it travels in headers.
  const [hook, setHook] = useState({ url: '', events: [] });
  const form = useRef(null);
  const summary = useRef(null);

  const isReady = contract !== null && (node !== null || session.signedOut);
  useEffect(() => { if (isReady && values === null) setValues(firstValues(contract, node)); }, [isReady]);
  useEffect(() => {
    begin = recipe => {
      const { security: _, ...unsigned } = recipe;
      setValues(valuesOf({ ...unsigned, recipe_id: newId(), deadline: undefined }));
      setText(null);
      setTouched({});
      setRefusal(null);
      setAccepted(null);
    };
    return () => { begin = null; };
  }, []);

  const editing = text !== null;
  const made = useMemo(() => {
    if (!values) return null;
    if (editing) return parse(text);
    return { recipe: recipeOf(values, contract.schema.properties.version.const), problem: null };
  }, [values, text, contract]);
  if (!made) return html`<section id="new" class="card" aria-labelledby="new-title"><div class="card-head"><h2 id="new-title">New slot</h2></div><div class="empty"><span>Fetching what a recipe may say…</span></div></section>`;

  const found = made.problem ? [{ path: '', message: made.problem }] : problemsOf(made.recipe, contract.schema, now());
  found.push(...problemsOfHook(hook));
  const said = refusal ? byPath(refusal) : {};
  const problems = { ...said, ...Object.fromEntries(found.map(({ path, message }) => [path, message])) };
  const shown = path => (touched[path] || touched.all || said[path] ? problems[path] : undefined);
  const elsewhere = Object.entries(problems).filter(([path]) => (editing && path !== HOOK) || !document.getElementById(idOf(path)));

  const change = (path, value) => {
    setValues({ ...values, [path]: value });
    setTouched({ ...touched, [path]: true });
    setAccepted(null);
    // What the node said of this field was said of another value.
    if (refusal) setRefusal({ ...refusal, words: refusal.words, errors: refusal.errors.filter(error => error.path !== path) });
  };

  const changeHook = changed => {
    setHook({ ...hook, ...changed });
    setTouched({ ...touched, [HOOK]: true });
    setAccepted(null);
    if (refusal) setRefusal({ ...refusal, words: refusal.words, errors: refusal.errors.filter(error => error.path !== HOOK) });
  };

  const submit = async event => {
    event.preventDefault();
    if (busy) return;
    setTouched({ all: true });
    setAccepted(null);
    if (found.length > 0) {
      setRefusal(null);
      tell(`The recipe is not complete: ${found.length === 1 ? 'one field is' : `${found.length} fields are`} wrong`, true);
      setTimeout(() => (form.current?.querySelector('[aria-invalid="true"]') ?? summary.current)?.focus(), 30);
      return;
    }
    setBusy(true);
    setRefusal(null);
    try {
      const body = editing ? text : pretty(made.recipe);
      const slot = await request('PUT', slotPath(made.recipe.recipe_id), body, headersOf(hook));
      const where = Number.isFinite(slot.position) ? `place ${slot.position + 1} in the queue` : slot.state;
      const eta = Number.isFinite(slot.eta) ? `, expected in ${coarse(slot.eta)}` : '';
      setAccepted({ id: slot.id, words: `Slot ${shortId(slot.id)} is accepted: ${where}${eta}.` });
      tell(`Slot ${shortId(slot.id)} is accepted: ${where}${eta}`);
      setTouched({});
      if (!editing) setValues({ ...values, recipe_id: newId() });
      patch('slots', { cursors: [null] });
      await loadPage();
      choose(slot.id);
      hold(slot);
      loadNode();
    } catch (problem) {
      const ofHook = problem.type.endsWith('/webhook') ? [{ path: HOOK, message: capital(problem.detail) }] : [];
      setRefusal({ words: problem.words, errors: [...problem.errors, ...ofHook] });
      tell(`Not accepted. ${problem.words}`, true);
      setTimeout(() => (form.current?.querySelector('[aria-invalid="true"]') ?? summary.current)?.focus(), 30);
    }
    setBusy(false);
  };

  const edit = () => {
    if (!editing) { setText(pretty(made.recipe)); return; }
    if (made.recipe && typeof made.recipe === 'object') setValues(valuesOf(made.recipe));
    setText(null);
  };
  const allowed = may(session, 'submit');
  const count = found.length;
  return html`<section id="new" class="card" aria-labelledby="new-title">
    <div class="card-head"><h2 id="new-title">New slot</h2><p class="muted">Everything that the video is to show and say.</p></div>
    <form ref=${form} class="form" novalidate onSubmit=${submit}>
      <div class="form-main">
        ${!editing && html`<${Fields} values=${values} change=${change} problem=${shown} node=${node} schema=${contract.schema} />`}
        ${editing && html`<p class="note">The recipe is edited as JSON${made.recipe?.security ? '; it is signed' : ''}.</p>`}
        <${Hook} value=${hook} names=${contract.webhook_events} problem=${shown(HOOK)} change=${changeHook} />
        <div class="form-end" ref=${summary} tabindex="-1">
          ${refusal && html`<div class="note note-bad"><p><strong>Not accepted.</strong> ${refusal.words}</p></div>`}
          ${(touched.all || editing) && elsewhere.length > 0 && html`<ul class="note note-bad">${elsewhere.map(([path, message]) => html`<li key=${path} class="break">${path && html`<code>${path}</code>: `}${message}</li>`)}</ul>`}
          ${accepted && html`<p class="note note-good">${accepted.words} <a href=${`#slot=${accepted.id}`}>Show it</a></p>`}
          <div class="actions">
            <button type="submit" class="primary" disabled=${!allowed || busy} aria-describedby=${allowed ? 'form-check' : 'submit-why'}>${busy ? 'Handing in…' : 'Submit the slot'}</button>
            ${!allowed && html`<span id="submit-why" class="muted tiny">needs the scope “submit”</span>`}
            <span id="form-check" class=${count === 0 ? 'tone-good' : 'muted'}>${count === 0 ? 'The recipe is valid' : count === 1 ? 'One thing is missing or wrong' : `${count} things are missing or wrong`}</span>
          </div>
        </div>
      </div>
      <${Json} text=${editing ? text : pretty(made.recipe)} editing=${editing} problem=${made.problem} onEdit=${edit} onInput=${setText} onFile=${content => { setText(content); setTouched({ all: true }); }} />
    </form>
  </section>`;
}
