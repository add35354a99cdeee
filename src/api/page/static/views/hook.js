// Where the node tells others of a slot: an address, and which events. It belongs to the request, not to the recipe.
import { html } from '../lib.js';
import { Field, Text } from './field.js';

export const HOOK = 'webhook';
// As the node itself takes them.
const LONGEST = 2048;

export function problemsOfHook({ url }) {
  const typed = url.trim();
  const isAddress = typed === '' || (/^https?:\/\/[^\s/]/.test(typed) && typed.length <= LONGEST && URL.canParse(typed));
  return isAddress ? [] : [{ path: HOOK, message: 'Write a whole address, which begins with https, or nothing.' }];
}

export function headersOf({ url, events }) {
  if (url.trim() === '') return {};
  return { 'Vortex-Webhook': url.trim(), ...(events.length > 0 ? { 'Vortex-Webhook-Events': events.join(',') } : {}) };
}

export function Hook({ value, names, problem, change }) {
  const turn = (name, on) => change({ events: names.filter(one => (one === name ? on : value.events.includes(one))) });
  return html`<details class="more" open=${problem || value.url ? true : undefined}><summary>Whom to tell of it</summary>
    <div class="fields">
      <${Field} path=${HOOK} label="Webhook" problem=${problem} wide hint="The node posts the slot’s events there, signed. Public https addresses, and what the settings allow."
        control=${attributes => html`<${Text} attributes=${attributes} type="url" inputmode="url" autocomplete="off" spellcheck=${false} value=${value.url} onInput=${url => change({ url })} />`} />
      <fieldset class="field field-wide" aria-describedby="webhook-events-hint"><legend class="label">Its events</legend>
        <div class="choices">${names.map(name => html`<label key=${name} class="choice">
          <input type="checkbox" name="webhook-event" value=${name} checked=${value.events.includes(name)} onChange=${event => turn(name, event.currentTarget.checked)} />${name.replaceAll('_', ' ')}</label>`)}</div>
        <p class="hint" id="webhook-events-hint">With none chosen, how it ends: generation complete, slot failed, slot cancelled or slot superseded.</p>
      </fieldset>
    </div>
  </details>`;
}
