// One field of the form: its label, its control, a hint, and what is wrong with it, tied together for screen readers.
import { html } from '../lib.js';

export const idOf = path => `field-${path.replaceAll('.', '-')}`;

// `control` makes the control from the attributes that tie it to its label, hint and problem.
export function Field({ path, label, hint, problem, required = false, wide = false, double = false, group = false, control }) {
  const id = idOf(path);
  const described = [problem && `${id}-problem`, hint && `${id}-hint`].filter(Boolean).join(' ');
  const attributes = {
    id, name: path, 'aria-describedby': described || undefined, 'aria-invalid': problem ? 'true' : undefined,
    'aria-required': required ? 'true' : undefined,
  };
  return html`<div class=${`field ${wide ? 'field-wide' : double ? 'field-double' : ''} ${problem ? 'is-wrong' : ''}`}>
    ${group
      ? html`<span class="label" id=${`${id}-label`}>${label}</span>`
      : html`<label for=${id}>${label}${!required && html` <span class="muted optional">optional</span>`}</label>`}
    ${control(attributes)}
    ${problem && html`<p id=${`${id}-problem`} class="problem">${problem}</p>`}
    ${hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}
  </div>`;
}

export function Choice({ attributes, value, names, none, onChange }) {
  return html`<select ...${attributes} value=${value} onChange=${event => onChange(event.currentTarget.value)}>
    ${none !== undefined && html`<option value="">${none}</option>`}
    ${names.map(name => html`<option key=${name} value=${name}>${name.replaceAll('_', ' ')}</option>`)}
  </select>`;
}

export function Text({ attributes, value, rows, onInput, ...more }) {
  const input = event => onInput(event.currentTarget.value);
  return rows
    ? html`<textarea ...${attributes} ...${more} rows=${rows} value=${value} onInput=${input}></textarea>`
    : html`<input type="text" ...${attributes} ...${more} value=${value} onInput=${input} />`;
}

// A sequence of names, each from the same list.
export function Sequence({ attributes, label, value, names, most, onChange }) {
  const set = (i, name) => onChange(value.with(i, name));
  return html`<div class="sequence" role="group" aria-labelledby=${`${attributes.id}-label`} aria-describedby=${attributes["aria-describedby"]} id=${attributes.id} tabindex="-1">
    ${value.map((one, i) => html`<span key=${i} class="sequence-one">
      <select aria-label=${`${label}, ${i + 1} of ${value.length}`} value=${one} onChange=${event => set(i, event.currentTarget.value)}>
        ${names.map(name => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
      ${value.length > 1 && html`<button type="button" class="small quiet" aria-label=${`Remove expression ${i + 1}`} onClick=${() => onChange(value.filter((_, j) => j !== i))}>✕</button>`}
    </span>`)}
    ${value.length < most && html`<button type="button" class="small" onClick=${() => onChange([...value, value.at(-1)])}>Add</button>`}
  </div>`;
}
