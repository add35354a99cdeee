// Memory over time, device by device: the node's snapshots, then its events. Pure but for the slice that it keeps.
import { get, set } from './store.js';

export const MODELS = ['flux', 'liveportrait', 'kokoro', 'clip_b', 'clip_l'];
// Some minutes at a sample a second, and a width in pixels that a screen has.
const MOST = 900;
// Samples may come ten times a second; a chart shows less.
const EVERY = 0.8;

// Rust writes a duration as {secs, nanos}, or as seconds.
const seconds = time => (typeof time === 'object' && time !== null ? time.secs + time.nanos / 1e9 : time);

function shares(ledger) {
  return Object.fromEntries(MODELS.map(model => [model, (ledger.resident?.[model] ?? 0) + (ledger.workspace?.[model] ?? 0)]));
}

// A snapshot as a point; null where its probe saw nothing.
function pointOf(snapshot, at) {
  const device = snapshot.probe ?? snapshot.device;
  const used = typeof device === 'object' && device !== null ? device.used : snapshot.ledger?.actual;
  if (!Number.isFinite(used)) return null;
  return { t: seconds(snapshot.unix_time) ?? at, used, models: shares(snapshot.ledger ?? {}) };
}

function add(points, point) {
  const last = points.at(-1);
  if (last && point.t < last.t) return points;
  // The newest of what comes close together stands for it.
  const before = points.at(-2);
  const kept = last && before && last.t - before.t < EVERY && point.t - before.t < EVERY * 2 ? points.slice(0, -1) : points;
  const next = [...kept, point];
  return next.length > MOST ? next.slice(next.length - MOST) : next;
}

function keep(device, points) {
  set('memory', new Map(get('memory')).set(device, points));
}

// What GET /v1/node/snapshots says: { DEVICE: [snapshot, …] }.
export function takeSnapshots(answer) {
  for (const [device, snapshots] of Object.entries(answer ?? {})) {
    if (!Array.isArray(snapshots)) continue;
    const points = snapshots.map(snapshot => pointOf(snapshot)).filter(Boolean);
    // Samples that came meanwhile stay.
    const last = points.at(-1)?.t ?? 0;
    const newer = (get('memory').get(device) ?? []).filter(point => point.t > last);
    keep(device, [...points, ...newer].slice(-MOST));
  }
}

// The newest look of GET /v1/node, whose models are those of the ledger.
export function takeNode(node) {
  for (const { device, memory } of node.devices) {
    if (!memory) continue;
    const models = Object.fromEntries(memory.models.map(({ model, resident, workspace }) => [model, resident + workspace]));
    keep(device, add(get('memory').get(device) ?? [], { t: memory.at, used: memory.used, models }));
  }
}

export function memoryEvent(event) {
  const devices = get('node')?.devices ?? [];
  // A snapshot's own `device` (what the probe saw) may hide the event's; with one device there is no doubt.
  const device = typeof event.device === 'string' ? event.device : devices.length === 1 ? devices[0].device : null;
  if (device === null) return;
  const points = get('memory').get(device) ?? [];
  if (event.event === 'memory') {
    const models = points.at(-1)?.models ?? {};
    keep(device, add(points, { t: event.at, used: event.used_bytes, models }));
  } else {
    const point = pointOf(event, event.at);
    if (point) keep(device, add(points, point));
  }
}
