// The page: puts the views in their places, follows the address, and begins to listen to the node.
import { html, render, useEffect } from './lib.js';
import { get, useSlice } from './store.js';
import { begin } from './live.js';
import { choose } from './slots.js';
import { Dialog } from './views/dialog.js';
import { Detail } from './views/detail.js';
import { Events } from './views/events.js';
import { Form } from './views/form.js';
import { Glance, Head, News, Notes } from './views/head.js';
import { Memory } from './views/memory.js';
import { Slots } from './views/slots.js';
import { Tree } from './views/tree.js';

// `#slot=ID` chooses a slot; other addresses lead to parts of the page, which the browser does by itself.
function follow() {
  const id = /^#slot=([0-9a-f-]{36})$/i.exec(location.hash)?.[1];
  if (!id) return;
  if (get('chosen').id !== id) choose(id);
  document.getElementById('slot')?.scrollIntoView({ block: 'nearest' });
}

function Page() {
  const { state } = useSlice('connection');
  const { signedOut } = useSlice('session');
  const chosen = useSlice('chosen');
  // Without a sign-in there is nothing to show but how to sign in.
  const node = useSlice('node');
  const isShut = signedOut && node === null;
  useEffect(() => {
    follow();
    addEventListener('hashchange', follow);
    begin();
  }, []);
  return html`
    <a class="skip" href="#slots">Skip to the slots</a>
    <${Head} />
    <main class=${state === 'lost' || signedOut ? 'is-stale' : ''}>
      <${Notes} />
      ${!isShut && html`<${Glance} />
      <div class=${`board ${chosen.id ? 'has-slot' : ''}`}>
        <${Slots} />
        <${Detail} />
        <${Memory} />
        <${Tree} />
      </div>
      <${Form} />
      <${Events} />`}
    </main>
    <footer class="foot muted"><p>vortex-node · <a href="/openapi.json">API</a> · times are yours, by this browser’s zone</p></footer>
    <${News} />
    <${Dialog} />`;
}

const place = document.getElementById('app');
place.replaceChildren();
render(html`<${Page} />`, place);
