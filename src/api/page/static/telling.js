// What an event says, in one line. Pure.
import { bytes, coarse, duration, words } from './format.js';

const progress = ({ done, total, unit }) => `${done} of ${total} ${words(unit)}`;
const because = event => (event.message ? `: ${event.message}` : '');
const held = event => (event.used ? `: it holds ${bytes(event.used)}${event.budget ? `, its budget is ${bytes(event.budget)}` : ''}` : '');
const WHOSE = {
  ours: 'this node holds more than its runs were given', leased: 'runs hold what they were given',
  others: 'other processes hold it', unknown: 'nobody can tell whose it is',
};
const REMEDIES = {
  plan_restart: e => `${words(e.model)} is to be restarted between two slots, to free memory${held(e)}`,
  restart: e => `${words(e.model)} is restarted now, to free memory${held(e)}`,
  give_up_device: () => 'the device is given up: no restart of a model has freed enough',
};
const occupant = ({ pid, name, bytes: size }) => `${name ?? 'a process'} (${pid}) ${bytes(size)}`;

// Of each kind; kinds that are not named here are told by their fields.
const SAY = {
  accepted: e => (e.resumed ? `taken up again, expected in ${coarse(e.eta)}` : `accepted, expected in ${coarse(e.eta)}`),
  stage_began: e => `${e.stage} began${e.model ? ` on ${words(e.model)}` : ''}${e.attempt > 1 ? `, attempt ${e.attempt}` : ''}`,
  stage_progress: e => `${e.stage}: ${progress(e.progress)}`,
  stage_again: e => `${e.stage} is begun again${because(e)}`,
  audio_complete: e => `the speech is there, after ${duration(e.took)}`,
  image_complete: e => `the picture is there, after ${duration(e.took)}`,
  video_progress: e => `video: ${progress(e.progress)}`,
  video_complete: e => `the video is there, after ${duration(e.took)}`,
  // The summary begins with how it went.
  clip_complete: e => `checked in ${duration(e.took)}: ${e.summary}`,
  video_encoded: e => `${e.frames} frames are encoded, ${bytes(e.bytes)}, in ${duration(e.encoding)}`,
  generation_complete: e => `completed after ${duration(e.elapsed)}${e.deadline_met ? '' : ', past its deadline'}`,
  slot_failed: e => `failed (${words(e.cause)}${e.stage ? ` in ${e.stage}` : ''})${because(e)}`,
  slot_cancelled: e => `cancelled (${words(e.cause)})`,
  slot_superseded: e => `superseded: the result of ${e.by} was first`,
  slot_left: () => 'this node lost its claim on it: it stays open, and nobody here works on it',
  end_not_kept: e => `its end could not be written down${because(e)}`,
  slot_moved: e => `moved here from ${e.from}`,
  journal_failed: e => `journal: ${e.what}${because(e)}`,
  actor_down: e => `${words(e.actor)} went down${because(e)} (${words(e.fault)})`,
  actor_restarted: e => `${words(e.actor)} is started again`,
  model_loaded: e => `${words(e.model)} is loaded, ${bytes(e.resident)}`,
  model_ready: e => `${words(e.model)} is ready${e.after ? `, ${duration(e.after)} after its fault` : ''}`,
  model_stalled: e => `${words(e.model)} made no step for ${duration(e.age)}`,
  model_trimmed: e => `${words(e.model)} gave back ${bytes(e.freed)}`,
  model_cordoned: e => `${words(e.model)} is cordoned for ${coarse(e.rest)}`,
  memory: e => `${bytes(e.used_bytes)} in use`,
  memory_pressure: e => `memory pressure is ${words(e.level)}, it was ${words(e.from)}: ${bytes(e.used)} in use, limit ${bytes(e.limit)}`,
  memory_snapshot: e => `memory is written down: ${bytes(e.probe?.used)} in use, ${words(e.pressure?.level)} pressure`,
  lease_refused: e => `${words(e.model)} is refused ${bytes(e.needed)} on ${e.device}: ${bytes(e.used)} of ${bytes(e.limit)} are taken`,
  pressure_caused: e => `memory stands above a limit: ${WHOSE[e.cause] ?? words(e.cause)}${e.unexplained ? `, ${bytes(e.unexplained)}` : ''}`,
  memory_remedy: e => REMEDIES[e.remedy](e),
  memory_occupied: e => `other processes hold memory: ${e.occupants.map(occupant).join(', ')}`,
  memory_awaited: e => `${e.stage} waits for ${bytes(e.needed)} of memory${e.model ? ` for ${words(e.model)}` : ''}`,
  run_ended: e => `${words(e.model)}'s run of ${e.stage} is over${e.error ? `: ${e.error}` : ''}`,
  crash_loop: e => `the last process ended with 71, ${e.count} within ${coarse(e.within)}: ${e.cause}; this one waits ${coarse(e.delay)} before it loads`,
  crash_record_failed: e => `how processes end cannot be kept${because(e)}`,
  blind: e => `memory could not be seen for ${duration(e.waited)}`,
  probes_rebuilt: e => `probes ${e.rebuilt ? 'were' : 'could not be'} made anew`,
  probe_switched: e => `memory is seen by ${e.to ?? 'no probe'}${e.from ? `, it was ${e.from}` : ''}`,
  admission_changed: e => (e.closed ? `takes nothing in: ${words(e.closed)}` : 'takes slots in'),
  leak_checked: () => 'looked for leaks',
  escalated: e => `given up (exit ${e.exit}): ${e.cause}`,
  card_lost: e => `this device serves no more${e.next ? `; its slots go on on ${e.next}` : ''}`,
};

function plain(event) {
  const { event: _, at: __, device: ___, slot: ____, ...rest } = event;
  const text = Object.entries(rest).filter(([, value]) => typeof value !== 'object').map(([name, value]) => `${words(name)} ${value}`).join(', ');
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

export function tellingOf(event) {
  // An event of a newer node may lack what is expected here.
  try { return SAY[event.event]?.(event) ?? plain(event); } catch { return plain(event); }
}

const BAD = new Set(['slot_failed', 'end_not_kept', 'journal_failed', 'actor_down', 'model_cordoned', 'escalated', 'card_lost']);
const ODD = new Set(['stage_again', 'actor_restarted', 'model_stalled', 'lease_refused', 'memory_occupied', 'crash_loop', 'crash_record_failed', 'memory_pressure', 'pressure_caused', 'blind', 'slot_cancelled', 'slot_superseded', 'slot_left', 'memory_remedy']);
const GOOD = new Set(['generation_complete', 'model_ready']);

export const toneOf = event => (BAD.has(event.event) ? 'bad' : ODD.has(event.event) ? 'warn' : GOOD.has(event.event) ? 'good' : 'idle');
