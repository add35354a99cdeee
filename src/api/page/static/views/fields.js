// The fields of a recipe, in the order in which one thinks of a video: what is seen, what is said, size and time, checks.
import { html } from '../lib.js';
import { count } from '../format.js';
import { localMoment, newId } from '../recipe.js';
import { now } from '../api.js';
import { accepted, fieldOf } from '../schema.js';
import { Choice, Field, Sequence, Text } from './field.js';

const LATER = [[60, '+1 min'], [300, '+5 min'], [3_600, '+1 h']];

export function Fields({ values, change, problem, node, schema }) {
  const names = path => fieldOf(schema, path).enum ?? [];
  const usual = path => `${(fieldOf(schema, path).default ?? 'none').toString().replaceAll('_', ' ')} (usual)`;
  const range = path => `${accepted(fieldOf(schema, path)).replace(/^a /, 'A ')}.`;
  const field = (path, label, control, more = {}) => html`<${Field} key=${path} path=${path} label=${label} problem=${problem(path)} control=${control} ...${more} />`;
  const text = (path, more = {}) => attributes => html`<${Text} attributes=${attributes} value=${values[path]} onInput=${value => change(path, value)} ...${more} />`;
  const choice = path => attributes => html`<${Choice} attributes=${attributes} value=${values[path]} names=${names(path)} none=${usual(path)} onChange=${value => change(path, value)} />`;
  const number = (path, more = {}) => text(path, { inputmode: 'decimal', autocomplete: 'off', ...more });
  const script = values['audio_track.script'];
  const prompts = node?.prompts ?? [];
  const voices = node?.voices ?? [];
  return html`
    <fieldset><legend>What is seen</legend>
      <div class="fields">
        ${field('visual_track.prompt', 'Prompt', text('visual_track.prompt', { rows: 2 }), { required: true, wide: true })}
        ${prompts.length > 0 && html`<div class="field field-wide"><label for="suggestion">Known prompts</label>
          <select id="suggestion" value=${prompts.includes(values['visual_track.prompt']) ? values['visual_track.prompt'] : ''} onChange=${event => event.currentTarget.value && change('visual_track.prompt', event.currentTarget.value)}>
            <option value="">Choose one that the bundle paints well…</option>
            ${prompts.map(prompt => html`<option key=${prompt} value=${prompt}>${prompt}</option>`)}
          </select></div>`}
        ${field('visual_track.motion_preset', 'Head motion', choice('visual_track.motion_preset'))}
        ${field('visual_track.camera_motion', 'Camera motion', choice('visual_track.camera_motion'))}
        ${field('visual_track.expression_sequence', 'Expressions, in turn', attributes => html`<${Sequence} attributes=${attributes} label="Expressions, in turn" value=${values['visual_track.expression_sequence']} names=${fieldOf(schema, 'visual_track.expression_sequence').items?.enum ?? []} most=${fieldOf(schema, 'visual_track.expression_sequence').maxItems ?? 32} onChange=${value => change('visual_track.expression_sequence', value)} />`, { double: true, group: true })}
        ${field('visual_track.negative_prompt', 'Negative prompt', text('visual_track.negative_prompt'), { wide: true, hint: 'Separated by commas; looked for when the video is checked, and only warned of.' })}
      </div>
    </fieldset>
    <fieldset><legend>What is said</legend>
      <div class="fields">
        ${field('audio_track.script', 'Script', text('audio_track.script', { rows: 3 }), { required: true, wide: true, hint: `${count([...script].length, 'character')}, ${count(script.split(/\s+/).filter(Boolean).length, 'word')}` })}
        ${field('audio_track.voice_id', 'Voice', text('audio_track.voice_id', { list: 'voices', autocomplete: 'off', spellcheck: false }), { required: true, hint: 'A name, or a blend such as af_sarah(0.3)+af_jessica(0.7).' })}
        <datalist id="voices">${voices.map(voice => html`<option key=${voice} value=${voice}></option>`)}</datalist>
        ${field('audio_track.emotion', 'Emotion', choice('audio_track.emotion'))}
        ${field('audio_track.speed', 'Speed', number('audio_track.speed', { placeholder: '1.0' }), { hint: range('audio_track.speed') })}
      </div>
    </fieldset>
    <fieldset><legend>Size and time</legend>
      <div class="fields">
        ${field('slot_params.duration_sec', 'Duration in seconds', number('slot_params.duration_sec'), { required: true })}
        ${field('slot_params.resolution', 'Resolution', text('slot_params.resolution', { autocomplete: 'off' }), { required: true, hint: 'Width x height, in steps of 16.' })}
        ${field('slot_params.fps', 'Frames a second', number('slot_params.fps'), { required: true })}
        ${field('slot_params.slot_number', 'Slot number', number('slot_params.slot_number'), { required: true })}
        ${field('seed', 'Seed', number('seed', { placeholder: 'from the id' }), { hint: 'The same seed paints the same picture.' })}
        ${field('deadline', 'Deadline', attributes => html`<input type="datetime-local" step="1" ...${attributes} value=${values.deadline} onInput=${event => change('deadline', event.currentTarget.value)} />
          <span class="actions">${LATER.map(([seconds, name]) => html`<button key=${name} type="button" class="small" onClick=${() => change('deadline', localMoment(Math.ceil(now() + seconds)))}>${name}<span class="sr"> from now</span></button>`)}
          ${values.deadline && html`<button type="button" class="small quiet" onClick=${() => change('deadline', '')}>None</button>`}</span>`, { double: true, hint: 'By your clock. Refused where it cannot be met.' })}
      </div>
    </fieldset>
    <details class="more"><summary>What the finished video must mean, and its id</summary>
      <div class="fields">
        ${field('semantic_constraints.required_concepts', 'Must be seen', text('semantic_constraints.required_concepts', { rows: 2 }), { hint: 'One concept a line.' })}
        ${field('semantic_constraints.banned_concepts', 'Must not be seen', text('semantic_constraints.banned_concepts', { rows: 2 }), { hint: 'One concept a line.' })}
        ${field('semantic_constraints.min_clip_score', 'Least score', number('semantic_constraints.min_clip_score'), { hint: range('semantic_constraints.min_clip_score') })}
        ${field('recipe_id', 'Id', attributes => html`<${Text} attributes=${attributes} value=${values.recipe_id} onInput=${value => change('recipe_id', value)} spellcheck=${false} autocomplete="off" />
          <span class="actions"><button type="button" class="small" onClick=${() => change('recipe_id', newId())}>New id</button></span>`, { required: true, hint: 'Names the slot. The same recipe under the same id is one slot.' })}
      </div>
    </details>`;
}
