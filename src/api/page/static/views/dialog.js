// One question at a time: a modal dialog with a way out, and the promise of its answer.
import { html, useEffect, useRef } from '../lib.js';
import { get, set, useSlice } from '../store.js';

// Asks; answers whether the person agreed.
export function ask({ title, text, yes, danger = false }) {
  get('question')?.answer(false);
  return new Promise(answer => set('question', { title, text, yes, danger, answer }));
}

export function Dialog() {
  const question = useSlice('question');
  const dialog = useRef(null);
  useEffect(() => {
    if (question && !dialog.current.open) dialog.current.showModal();
    if (!question && dialog.current.open) dialog.current.close();
  }, [question]);
  const answer = agreed => {
    const asked = get('question');
    set('question', null);
    asked?.answer(agreed);
  };
  return html`<dialog ref=${dialog} aria-labelledby="question-title" aria-describedby="question-text" onCancel=${() => answer(false)} onClose=${() => answer(false)}>
    ${question && html`<h2 id="question-title">${question.title}</h2>
      <p id="question-text">${question.text}</p>
      <div class="actions">
        <button type="button" onClick=${() => answer(false)}>Go back</button>
        <button type="button" class=${question.danger ? 'danger' : 'primary'} onClick=${() => answer(true)}>${question.yes}</button>
      </div>`}
  </dialog>`;
}
