// The head: which node this is, how it stands, whether what is shown is fresh, theme, drain. And what is wrong, below it.
import { html, useEffect, useState } from '../lib.js';
import { patch, tell, useSlice } from '../store.js';
import { may, now, request, signOut } from '../api.js';
import { loadNode, tryNow } from '../live.js';
import { ago, capital, clock, coarse, count, moment, shortId } from '../format.js';
import { Copy, State, useTick } from './marks.js';
import { ask } from './dialog.js';

function Connection() {
  const { state, since } = useSlice('connection');
  const { signedOut } = useSlice('session');
  useTick(state !== 'live', 1000);
  const elapsed = Date.now() / 1000 - since;
  const [text, tone] = signedOut ? ['Signed out', 'bad']
    : state === 'live' ? ['Live', 'good']
      : state === 'connecting' ? ['Connecting…', 'idle']
        : [`Connection lost ${ago(elapsed)}`, 'bad'];
  return html`<span class=${`state tone-${tone}`}><span class=${`dot ${state === 'live' ? 'beats' : ''}`} aria-hidden="true"></span>${text}</span>`;
}

function Theme() {
  const [theme, show] = useState(() => globalThis.vortexTheme.get());
  const change = event => { globalThis.vortexTheme.set(event.currentTarget.value); show(event.currentTarget.value); };
  return html`<label class="inline"><span class="sr">Theme</span>
    <select class="small" value=${theme} onChange=${change}>
      <option value="system">System theme</option><option value="light">Light</option><option value="dark">Dark</option>
    </select></label>`;
}

function worst(devices) {
  const order = ['normal', 'unknown', 'soft', 'hard'];
  return devices.map(device => device.pressure).reduce((a, b) => (order.indexOf(b) > order.indexOf(a) ? b : a), 'normal');
}

const QUESTIONS = {
  drain: {
    title: 'Drain this node?', yes: 'Drain', danger: true,
    text: 'It takes no more slots in and finishes those that are open. It does not stop; you can take slots in again at any time.',
  },
  undrain: { title: 'Take slots in again?', yes: 'Undrain', text: 'The node accepts slots as soon as it is ready.' },
};

async function operate(operation, question) {
  if (question && !(await ask(question))) return;
  try {
    await request('POST', `/v1/node/${operation}`);
    tell(`${capital(operation)}: done`);
  } catch (problem) {
    tell(`${capital(operation)} was not done. ${problem.words}`, true);
    patch('session', { refused: problem.words });
  }
  loadNode();
}

function Drain({ node }) {
  const session = useSlice('session');
  const operation = node.draining ? 'undrain' : 'drain';
  const allowed = may(session, 'operate');
  return html`<span class="drain">
    <button type="button" class=${`small ${node.draining ? 'primary' : ''}`} disabled=${!allowed} aria-describedby=${allowed ? undefined : 'drain-why'} onClick=${() => operate(operation, QUESTIONS[operation])}>
      ${capital(operation)}
    </button>
    ${!allowed && html`<span id="drain-why" class="muted tiny">needs the scope “operate”</span>`}
  </span>`;
}

export function Head() {
  const node = useSlice('node');
  const { state } = useSlice('connection');
  const { running = 0, waiting = 0 } = node?.queue ?? {};
  useEffect(() => {
    // For whoever has the page open behind others.
    const what = state === 'lost' ? 'Connection lost' : node && !node.ready ? 'Not ready' : running + waiting > 0 ? `${running} running, ${waiting} waiting` : '';
    document.title = what ? `${what} · vortex-node` : 'vortex-node';
  }, [state, node?.ready, running, waiting]);
  return html`<header class="top">
    <div class="top-row">
      <h1 class="brand"><img src=${new URL('../icon.svg', import.meta.url).pathname} alt="" width="26" height="26" />vortex-node</h1>
      ${node && html`<p class="ids"><span class="muted">Node</span> <code title=${node.id}>${shortId(node.id)}</code> <${Copy} text=${node.id} what="the node’s whole id" />
        <span class="muted">${node.version} · ${node.bundle} · ${node.profile}</span></p>`}
      <div class="top-right">
        <${Connection} />
        ${node && state !== 'lost' && html`<${State} of=${node.ready ? 'ready' : 'down'} label=${node.ready ? 'Ready' : node.draining ? 'Draining' : 'Not ready'} />
          <${State} of=${worst(node.devices)} label=${`Pressure ${worst(node.devices)}`} />`}
        <${Theme} />
        ${node && html`<${Drain} node=${node} /><button type="button" class="small quiet" onClick=${signOut}>Sign out</button>`}
      </div>
    </div>
    <nav class="jump" aria-label="Parts of this page">
      <a href="#slots">Slots</a><a href="#new">New slot</a><a href="#memory">Memory</a><a href="#tree">Supervision</a><a href="#events">Events</a>
    </nav>
  </header>`;
}

function Sign() {
  return html`<div class="note note-bad" role="alert">
    <p><strong>You are not signed in.</strong> <a href="/login">Sign in</a> with a token, or open the one-time address that <code>vortex-node serve</code> prints on its terminal.</p>
    <button type="button" onClick=${tryNow}>Try again</button>
  </div>`;
}

function Lost({ journal }) {
  const session = useSlice('session');
  const allowed = may(session, 'operate');
  const acknowledge = () => operate('acknowledge', {
    title: 'Acknowledge what was lost?', yes: 'Acknowledge', danger: true,
    text: `Slots that were accepted since ${moment(journal.lost_since)} may be missing. The node takes slots in again once you know of it.`,
  });
  return html`<div class="note note-bad">
    <p><strong>The journal lost what was accepted since ${moment(journal.lost_since)}.</strong> Slots handed in since then may have to be handed in again.</p>
    <button type="button" disabled=${!allowed} onClick=${acknowledge}>Acknowledge</button>
    ${!allowed && html`<span class="muted tiny">needs the scope “operate”</span>`}
  </div>`;
}

// What stands in the way, in words.
export function Notes() {
  const node = useSlice('node');
  const session = useSlice('session');
  const connection = useSlice('connection');
  const isLost = connection.state === 'lost' && !session.signedOut;
  return html`<div class="notes">
    ${session.signedOut && html`<${Sign} />`}
    ${session.refused && html`<div class="note note-bad" role="alert"><p>${session.refused}</p>
      <button type="button" class="small" onClick=${() => patch('session', { refused: null })}>Dismiss</button></div>`}
    ${isLost && html`<div class="note note-warn"><p><strong>The node cannot be reached.</strong> ${node ? `What is shown was true ${moment(connection.since)}.` : ''} The page tries again by itself.</p>
      <button type="button" class="small" onClick=${tryNow}>Try now</button></div>`}
    ${node && !node.ready && html`<div class="note note-warn"><p><strong>${node.draining ? 'The node is draining' : 'The node takes no slots in'}.</strong></p>
      ${node.not_ready.length > 0 && html`<ul>${node.not_ready.map(why => html`<li key=${why}>${why}</li>`)}</ul>`}</div>`}
    ${node?.alerts?.length > 0 && html`<div class="note note-warn"><p><strong>To be looked at.</strong> Slots are taken in nevertheless.</p>
      <ul>${node.alerts.map(alert => html`<li key=${alert} class="break">${alert}</li>`)}</ul></div>`}
    ${Number.isFinite(node?.journal.lost_since) && html`<${Lost} journal=${node.journal} />`}
    ${node?.journal.repairs.length > 0 && html`<details class="note"><summary>The journal was repaired at the start (${node.journal.repairs.length})</summary>
      <ul>${node.journal.repairs.map(repair => html`<li key=${repair}>${repair}</li>`)}</ul></details>`}
  </div>`;
}

function Figure({ name, children, hint }) {
  return html`<div class="figure"><dt>${name}</dt><dd>${children}${hint && html`<span class="muted tiny">${hint}</span>`}</dd></div>`;
}

// Today a time of day says enough.
const sinceWhen = at => (now() - at < 43_200 ? clock(at, false) : moment(at).replace(/:\d\d$/, ''));

const STORE = { up: 'Up', down: 'Down', unknown: 'Not used yet' };

// How the node stands in its network: what is wrong first, else what it holds.
function Network({ of: network }) {
  const [tone, text] = !network.connected ? ['tone-bad', 'Away'] : network.pulls ? ['', 'Connected'] : ['tone-warn', 'Pulls nothing'];
  const told = [
    count(network.claims, 'claim'),
    network.claims_lost > 0 && `${network.claims_lost.toLocaleString('en')} lost`,
    network.letters > 0 && count(network.letters, 'dead letter'),
    network.stands_in_for.length > 0 && `stands in for ${count(network.stands_in_for.length, 'node')}`,
  ].filter(Boolean).join(' · ');
  const why = [network.error, ...network.not_pulling].filter(Boolean).join('; ');
  return html`<${Figure} name="Network" hint=${told}><span class=${tone} title=${why || network.prefix}>${text}</span><//>`;
}

// The node at a glance.
export function Glance() {
  const node = useSlice('node');
  useTick(true, 1000);
  if (!node) return html`<section aria-label="At a glance"><dl class="figures">${['Running', 'Waiting', 'Completed', 'Failed', 'Cancelled', 'A full slot takes', 'Up'].map(name => html`<${Figure} key=${name} name=${name}>–<//>`)}</dl></section>`;
  const ended = name => (node.ended[name] ?? 0).toLocaleString('en');
  const { queue, estimates } = node;
  const whole = Object.values(estimates).reduce((sum, one) => sum + one, 0);
  return html`<section aria-label="At a glance"><dl class="figures">
    <${Figure} name="Running" hint=${count(node.devices.length, 'device')}>${queue.running}<//>
    <${Figure} name="Waiting" hint=${`of ${queue.capacity.toLocaleString('en')}`}>${queue.waiting.toLocaleString('en')}<//>
    <${Figure} name="Completed" hint="since the start">${ended('completed')}<//>
    <${Figure} name="Failed">${ended('failed')}<//>
    <${Figure} name="Cancelled">${ended('cancelled')}<//>
    ${node.ended.superseded > 0 && html`<${Figure} name="Superseded" hint="another node was first">${ended('superseded')}<//>`}
    <${Figure} name="A full slot takes" hint="all stages, estimated">${coarse(whole)}<//>
    ${node.store && html`<${Figure} name="Store" hint=${node.store.waiting > 0 ? `${node.store.waiting.toLocaleString('en')} to hand over` : 'nothing waits'}>
      <span class=${node.store.state === 'down' ? 'tone-bad' : ''} title=${node.store.url}>${STORE[node.store.state] ?? node.store.state}</span><//>`}
    ${node.network && html`<${Network} of=${node.network} />`}
    <${Figure} name="Up" hint=${`since ${sinceWhen(node.started_at)}`}>${coarse(now() - node.started_at)}<//>
  </dl></section>`;
}

export function News() {
  const { text, urgent, number } = useSlice('news');
  // Two places, so that the same words said twice are read twice.
  const at = parity => (number % 2 === parity ? text : '');
  return html`<div class="sr">
    <p aria-live="polite">${urgent ? '' : at(0)}</p><p aria-live="polite">${urgent ? '' : at(1)}</p>
    <p role="alert">${urgent ? text : ''}</p>
  </div>`;
}
