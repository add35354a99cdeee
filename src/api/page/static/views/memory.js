// Memory over time: a chart per device with the share of each model, what is in use, and the two limits; and the same
// figures as a table.
import { html, useEffect, useRef, useState } from '../lib.js';
import { useSlice } from '../store.js';
import { MODELS } from '../memory.js';
import { bytes, clock, words } from '../format.js';
import { State } from './marks.js';

const HEIGHT = 240;
// Rows of the table: enough to see which way it goes.
const ROWS = 12;
// A chart that is drawn at every sample would cost more than it shows.
const DRAW_EVERY = 1_000;
// Seconds: a straight line over a longer break would claim what nobody saw. Snapshots may be some minutes apart.
const BREAK = 900;

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// What is in use and no model's: the context, the libraries, other programs.
const rest = point => Math.max(0, point.used - MODELS.reduce((sum, model) => sum + (point.models[model] ?? 0), 0));

// Columns for uPlot: time; the stack's edges from the topmost down, so that each lies over the one before; use; limits.
function columns(points, { soft_limit: soft, hard_limit: hard }) {
  const padded = [];
  for (const [i, point] of points.entries()) {
    if (i > 0 && point.t - points[i - 1].t > BREAK) padded.push({ t: (point.t + points[i - 1].t) / 2, used: null });
    padded.push(point);
  }
  const parts = [...MODELS.map(model => point => point.models[model] ?? 0), rest];
  const edge = (point, n) => (point.used === null ? null : parts.slice(0, n).reduce((sum, part) => sum + part(point), 0));
  const edges = parts.map((_, i) => padded.map(point => edge(point, parts.length - i)));
  return [padded.map(point => point.t), ...edges, padded.map(point => point.used), padded.map(() => soft), padded.map(() => hard)];
}

const STACK = ['other', ...[...MODELS].reverse()];

function options(width, height, device, onCursor) {
  const grid = { stroke: colour('--line'), width: 1 };
  const axis = { stroke: colour('--muted'), grid, ticks: grid, font: '12px system-ui, sans-serif' };
  const area = name => ({ label: name, fill: colour(`--model-${name}`), stroke: colour(`--model-${name}`), width: 0, points: { show: false } });
  const line = (label, name, dash) => ({ label, stroke: colour(name), width: 2, dash, points: { show: false } });
  return {
    width, height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { y: { range: (_, __, most) => [0, Math.max(device.hard_limit, most) * 1.06 || 1] } },
    axes: [
      { ...axis, values: (_, splits) => splits.map(at => clock(at, (splits.at(-1) - splits[0]) < 600)), space: 80 },
      { ...axis, values: (_, splits) => splits.map(bytes), size: 66, space: 36 },
    ],
    series: [{}, ...STACK.map(area), line('in use', '--text'), line('soft limit', '--warn', [6, 4]), line('hard limit', '--bad', [2, 3])],
    hooks: { setCursor: [plot => onCursor(plot.cursor.idx)] },
  };
}

function Chart({ device, points, onCursor, label }) {
  const place = useRef(null);
  const plot = useRef(null);
  const newest = useRef(points);
  newest.current = points;
  useEffect(() => {
    const { uPlot } = globalThis;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(place.current.clientWidth, HEIGHT, device, onCursor), columns(newest.current, device), place.current);
    };
    make();
    const draw = setInterval(() => { if (!document.hidden) plot.current.setData(columns(newest.current, device)); }, DRAW_EVERY);
    const size = new ResizeObserver(() => {
      const { clientWidth } = place.current;
      if (clientWidth > 0 && clientWidth !== plot.current.width) plot.current.setSize({ width: clientWidth, height: HEIGHT });
    });
    size.observe(place.current);
    // Colours of a canvas do not follow the theme by themselves.
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', make);
    addEventListener('vortex-theme', make);
    return () => {
      clearInterval(draw);
      size.disconnect();
      scheme.removeEventListener('change', make);
      removeEventListener('vortex-theme', make);
      plot.current.destroy();
    };
  }, [device.device, device.soft_limit, device.hard_limit]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}

function Key({ swatch, name, value }) {
  return html`<li><span class=${`swatch ${swatch}`} aria-hidden="true"></span>${name} <span class="value">${value}</span></li>`;
}

function Figures({ points, device }) {
  const shown = points.filter((_, i) => (points.length - 1 - i) % Math.max(1, Math.floor(points.length / ROWS)) === 0).slice(-ROWS).reverse();
  return html`<details class="more"><summary>The same as a table</summary>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Memory of ${device.device} as a table`}>
      <table class="figures-table"><caption>Memory of ${device.device}, newest first. Soft limit ${bytes(device.soft_limit)}, hard limit ${bytes(device.hard_limit)}.</caption>
        <thead><tr><th scope="col">Time</th><th scope="col">In use</th>${MODELS.map(model => html`<th key=${model} scope="col">${words(model)}</th>`)}<th scope="col">Other</th></tr></thead>
        <tbody>${shown.map(point => html`<tr key=${point.t}><th scope="row">${clock(point.t)}</th><td>${bytes(point.used)}</td>
          ${MODELS.map(model => html`<td key=${model}>${bytes(point.models[model] ?? 0)}</td>`)}<td>${bytes(rest(point))}</td></tr>`)}</tbody>
      </table></div></details>`;
}

function Device({ device, points }) {
  const [cursor, setCursor] = useState(null);
  const at = (cursor !== null && points[cursor]) || points.at(-1);
  const label = at ? `Memory of ${device.device} over time: ${bytes(points.at(-1).used)} in use of a soft limit of ${bytes(device.soft_limit)} and a hard limit of ${bytes(device.hard_limit)}` : '';
  return html`<div class="device">
    <div class="device-head"><h3>${device.device}</h3><${State} of=${device.pressure} label=${`pressure ${device.pressure}`} />
      ${device.closed && html`<span class="muted">takes nothing in: ${words(device.closed)}</span>`}
      ${at && html`<span class="push muted">${cursor === null ? 'now' : clock(at.t)}</span>`}</div>
    ${points.length > 1
      ? html`<${Chart} device=${device} points=${points} onCursor=${index => setCursor(index ?? null)} label=${label} />`
      : html`<div class="empty chart-empty"><span>No samples yet: they come once memory is looked at.</span></div>`}
    ${at && html`<ul class="legend" aria-label=${`Memory of ${device.device} ${cursor === null ? 'now' : `at ${clock(at.t)}`}`}>
      <${Key} swatch="line-used" name="In use" value=${bytes(at.used)} />
      ${MODELS.map(model => html`<${Key} key=${model} swatch=${`model-${model}`} name=${words(model)} value=${bytes(at.models[model] ?? 0)} />`)}
      <${Key} swatch="model-other" name="Other" value=${bytes(rest(at))} />
      <${Key} swatch="line-soft" name="Soft limit" value=${bytes(device.soft_limit)} />
      <${Key} swatch="line-hard" name="Hard limit" value=${bytes(device.hard_limit)} />
    </ul>
    <${Figures} points=${points} device=${device} />`}
  </div>`;
}

export function Memory() {
  const node = useSlice('node');
  const memory = useSlice('memory');
  return html`<section id="memory" class="card" aria-labelledby="memory-title">
    <div class="card-head"><h2 id="memory-title">Memory</h2></div>
    ${node ? node.devices.map(device => html`<${Device} key=${device.device} device=${device} points=${memory.get(device.device) ?? []} />`) : html`<div class="empty"><span>Fetching…</span></div>`}
    ${node?.devices.length === 0 && html`<div class="empty"><span>The node has no devices.</span></div>`}
  </section>`;
}
