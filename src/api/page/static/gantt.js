// Where the bars of the Gantt chart lie: segments of a slot, the span of time that is shown, its ticks. Pure.
import { etaOf, isFinal } from './slots.js';

// Spans on offer, in seconds.
export const SPANS = [30, 60, 120, 300, 900, 1_800, 3_600, 10_800, 43_200, 86_400];
// Ended slots that an automatic span shows at least where none is open: more would make the bars too small to read.
const ENDED_SHOWN = 3;
// Seconds by which one stage may seem to begin before the one before has ended.
const AT_ONCE = 0.02;
// The part of the width that lies in the future.
const AHEAD = { least: 0.06, most: 0.35 };

// When anything began or ended: [{ stage, from, to, running, done, total, lane, lanes }]. Audio and image may be made at
// once: what overlaps shares the row's height, in lanes of its own.
export function segments(slot, now) {
  const begun = slot.stages.filter(stage => Number.isFinite(stage.began_at));
  const end = Number.isFinite(slot.ended_at) ? slot.ended_at : now;
  const first = begun.length > 0 ? Math.min(...begun.map(stage => stage.began_at)) : end;
  const found = [];
  // Of a slot that ended long ago it is known which stages were done, and no longer when.
  if (begun.length === 0 && slot.stages.some(stage => stage.state === 'done')) {
    return [{ stage: 'whole', from: slot.accepted_at, to: end, lane: 0, lanes: 1 }];
  }
  if (first - slot.accepted_at > 0.01) found.push({ stage: 'queued', from: slot.accepted_at, to: first, lane: 0, lanes: 1 });
  // What overlaps, one after the other, and where each of its lanes is free again.
  let cluster = [];
  let lanes = [];
  for (const stage of [...begun].sort((a, b) => a.began_at - b.began_at)) {
    const running = stage.state === 'running' && !isFinal(slot);
    const to = Math.max(stage.began_at, stage.ended_at ?? (isFinal(slot) ? end : stage.state === 'waiting' ? stage.began_at : now));
    const isFree = until => until <= stage.began_at + AT_ONCE;
    if (lanes.every(isFree)) { cluster = []; lanes = []; }
    let lane = lanes.findIndex(isFree);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = to;
    cluster.push({ stage: stage.stage, from: stage.began_at, to, running, done: stage.done, total: stage.total, lane });
    found.push(cluster.at(-1));
    for (const one of cluster) one.lanes = lanes.length;
  }
  return found;
}

// From when to when is shown, for these slots; `span` in seconds, or null for one that fits.
export function window(slots, now, span) {
  const open = slots.filter(slot => !isFinal(slot));
  const eta = Math.max(0, ...open.map(slot => etaOf(slot, now) ?? 0));
  if (span === null) {
    const most = open.length > 0 ? 0 : ENDED_SHOWN;
    const ended = slots.filter(isFinal).sort((a, b) => b.ended_at - a.ended_at).slice(0, most);
    const from = Math.min(now - SPANS[0] * 0.9, ...[...open, ...ended].map(slot => slot.accepted_at));
    const needed = (now - from) * 1.04 + Math.min(eta, (now - from) * 0.5);
    span = SPANS.find(one => one >= needed) ?? SPANS.at(-1);
  }
  const ahead = Math.min(AHEAD.most, Math.max(AHEAD.least, (eta * 1.05) / span));
  return { from: now - span * (1 - ahead), to: now + span * ahead, span };
}

const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];

// Round moments, at most `most` of them.
export function ticks({ from, to, span }, most) {
  const step = STEPS.find(one => span / one <= most) ?? STEPS.at(-1);
  // Days begin at midnight of whoever looks.
  const zone = new Date(from * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return { found, withSeconds: step < 60 };
}

// A moment's place in the window, in percent.
export const place = (at, { from, to }) => ((at - from) / (to - from)) * 100;
