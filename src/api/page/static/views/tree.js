// The supervision tree: node, devices, their actors, with states, restarts and faults. Arrow keys move in it, as in any
// tree: up and down between what is shown, left and right close, open, or lead to parent and child.
import { html, useRef, useState } from '../lib.js';
import { useSlice } from '../store.js';
import { STAGES } from '../slots.js';
import { count, duration, words } from '../format.js';
import { State } from './marks.js';

const MODELS = new Set(['flux', 'liveportrait', 'kokoro', 'clip_b', 'clip_l']);

// The flat lists of the node's answer as a tree: { key, name, actor, children }.
function treeOf(node) {
  const devices = node.devices.map(device => {
    const leaf = actor => ({ key: `${device.device}/${actor.name}`, name: words(actor.name), actor, children: [] });
    const own = device.actors.find(actor => actor.name === 'device') ?? { name: device.device, state: 'up', restarts: 0 };
    const children = device.actors.filter(actor => actor.name !== 'device' && !MODELS.has(actor.name)).map(leaf);
    const models = device.actors.filter(actor => MODELS.has(actor.name)).map(leaf);
    const parent = children.find(child => child.actor.name === 'models');
    if (parent) parent.children = models; else children.push(...models);
    return { key: device.device, name: device.device, actor: own, children };
  });
  return { key: 'node', name: 'node', actor: node.root, children: devices };
}

function flatten(item, closed, level = 1, parent = null) {
  const line = { ...item, level, parent, isOpen: !closed.has(item.key) };
  const inside = line.isOpen ? item.children.flatMap(child => flatten(child, closed, level + 1, item.key)) : [];
  return [line, ...inside];
}

function Item({ item, at, closed, toggle, focusOn, current }) {
  const { actor, children } = item;
  const isOpen = !closed.has(item.key);
  const hasChildren = children.length > 0;
  const group = `tree-${item.key.replaceAll(/[^a-z0-9]/g, '-')}`;
  const click = event => {
    event.currentTarget.focus();
    if (hasChildren) toggle(item.key);
  };
  return html`<li role="none">
    <div class="actor" role="treeitem" aria-level=${at} aria-expanded=${hasChildren ? String(isOpen) : undefined} aria-owns=${hasChildren && isOpen ? group : undefined} data-key=${item.key} tabindex=${current === item.key ? 0 : -1} onClick=${click} onFocus=${() => focusOn(item.key)}>
      <span class="fold" aria-hidden="true">${hasChildren ? (isOpen ? '▾' : '▸') : ''}</span>
      <span class="actor-name">${item.name}</span>
      <${State} of=${actor.state} />
      <span class=${`restarts ${actor.restarts > 0 ? 'tone-warn' : 'muted'}`} title=${`${count(actor.restarts, 'restart')} in this process`}><span aria-hidden="true">↻ ${actor.restarts}</span><span class="sr">${count(actor.restarts, 'restart')}</span></span>
      ${actor.fault && html`<span class="fault muted break"><span class="sr">last fault: </span>${actor.fault}</span>`}
    </div>
    ${hasChildren && isOpen && html`<ul role="group" id=${group}>${children.map(child => html`<${Item} key=${child.key} item=${child} at=${at + 1} closed=${closed} toggle=${toggle} focusOn=${focusOn} current=${current} />`)}</ul>`}
  </li>`;
}

export function Tree() {
  const node = useSlice('node');
  const [closed, setClosed] = useState(() => new Set());
  const [current, setCurrent] = useState('node');
  const place = useRef(null);
  if (!node) return html`<section id="tree" class="card" aria-labelledby="tree-title"><div class="card-head"><h2 id="tree-title">Supervision</h2></div><div class="empty"><span>Fetching…</span></div></section>`;

  const root = treeOf(node);
  const set = (key, isClosed) => {
    const next = new Set(closed);
    if (isClosed) next.add(key); else next.delete(key);
    setClosed(next);
  };
  const focus = key => place.current.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  const onKey = event => {
    const lines = flatten(root, closed);
    const index = lines.findIndex(line => line.key === current);
    const line = lines[index];
    if (!line || event.ctrlKey || event.altKey || event.metaKey) return;
    const move = {
      ArrowDown: () => lines[index + 1] && focus(lines[index + 1].key),
      ArrowUp: () => lines[index - 1] && focus(lines[index - 1].key),
      Home: () => focus(lines[0].key),
      End: () => focus(lines.at(-1).key),
      ArrowRight: () => { if (line.children.length === 0) return; if (line.isOpen) focus(line.children[0].key); else set(line.key, false); },
      ArrowLeft: () => { if (line.children.length > 0 && line.isOpen) set(line.key, true); else if (line.parent) focus(line.parent); },
      Enter: () => line.children.length > 0 && set(line.key, line.isOpen),
    }[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  };
  // In the order in which they are done; what this page does not know comes last.
  const rank = ([stage]) => STAGES.indexOf(stage) >>> 0;
  const estimates = Object.entries(node.estimates).sort((a, b) => rank(a) - rank(b));
  return html`<section id="tree" class="card" aria-labelledby="tree-title">
    <div class="card-head"><h2 id="tree-title">Supervision</h2><span class="push muted tiny">↻ restarts in this process</span></div>
    <ul class="tree" role="tree" aria-labelledby="tree-title" ref=${place} onKeyDown=${onKey}>
      <${Item} item=${root} at=${1} closed=${closed} toggle=${key => set(key, !closed.has(key))} focusOn=${setCurrent} current=${current} />
    </ul>
    ${estimates.length > 0 && html`<h3>Estimated time of each stage</h3><dl class="estimates">${estimates.map(([stage, seconds]) => html`<div key=${stage}><dt><span class=${`swatch stage-${stage}`} aria-hidden="true"></span>${stage}</dt><dd>${duration(seconds)}</dd></div>`)}</dl>`}
  </section>`;
}
