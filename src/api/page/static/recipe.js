// From what is typed into the form to a recipe, and back. Knows a recipe's layout, not the page. Pure but for new ids.
import { check } from './schema.js';

// What a schema cannot say, as src/recipe.rs has it: sides of a frame.
const SIDE = { least: 64, most: 2048, step: 16 };

// A new UUID; the browser has it only where the page came by TLS or from this machine.
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

// Recipes in files may have remarks, from // to the end of the line; texts keep theirs.
export const withoutRemarks = text => text.replace(/("(?:\\.|[^"\\])*")|\/\/[^\n]*/g, (_, string) => string ?? '');

// Fields of the form: path in the recipe, and how it is typed.
const FIELDS = {
  recipe_id: 'text',
  'audio_track.script': 'text',
  'audio_track.voice_id': 'text',
  'audio_track.speed': 'number',
  'audio_track.emotion': 'text',
  'visual_track.prompt': 'text',
  'visual_track.negative_prompt': 'text',
  'visual_track.motion_preset': 'text',
  'visual_track.expression_sequence': 'list',
  'visual_track.camera_motion': 'text',
  'slot_params.duration_sec': 'number',
  'slot_params.resolution': 'text',
  'slot_params.fps': 'number',
  'slot_params.slot_number': 'number',
  seed: 'number',
  deadline: 'time',
  'semantic_constraints.min_clip_score': 'number',
  'semantic_constraints.required_concepts': 'lines',
  'semantic_constraints.banned_concepts': 'lines',
};
// Those that are written even where nothing was typed, so that the check says what is missing.
const REQUIRED = new Set([
  'recipe_id', 'audio_track.script', 'audio_track.voice_id', 'visual_track.prompt', 'slot_params.duration_sec',
  'slot_params.resolution', 'slot_params.fps', 'slot_params.slot_number',
]);

const at = (recipe, path) => path.split('.').reduce((value, name) => value?.[name], recipe);

function put(recipe, path, value) {
  const names = path.split('.');
  const last = names.pop();
  let inner = recipe;
  for (const name of names) inner = inner[name] ??= {};
  inner[last] = value;
}

const pad = number => String(number).padStart(2, '0');
// A moment as the browser's own field for it takes it: local, to the second.
export function localMoment(seconds) {
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}T${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

// The form's values (all texts, and one list) from a recipe.
export function valuesOf(recipe) {
  return Object.fromEntries(Object.entries(FIELDS).map(([path, kind]) => {
    const value = at(recipe, path);
    if (kind === 'list') return [path, Array.isArray(value) && value.length > 0 ? value.map(String) : ['neutral']];
    if (value === undefined || value === null) return [path, ''];
    if (kind === 'lines') return [path, Array.isArray(value) ? value.join('\n') : ''];
    if (kind === 'time') return [path, Number.isFinite(value) ? localMoment(value) : ''];
    return [path, String(value)];
  }));
}

function typed(kind, text) {
  if (kind === 'number') {
    const number = Number(text);
    // What is no number stays a text, and the check says so.
    return text.trim() !== '' && Number.isFinite(number) ? number : text;
  }
  if (kind === 'time') {
    const time = Date.parse(text);
    return Number.isFinite(time) ? Math.floor(time / 1000) : text;
  }
  if (kind === 'lines') return text.split('\n').map(line => line.trim()).filter(Boolean);
  return text;
}

// The recipe that the values make.
export function recipeOf(values, version) {
  const recipe = { recipe_id: values.recipe_id, version, slot_params: {}, audio_track: {}, visual_track: {} };
  for (const [path, kind] of Object.entries(FIELDS)) {
    const value = kind === 'list' ? values[path] : typed(kind, values[path]);
    const isEmpty = Array.isArray(value) ? value.length === 0 : value === '';
    if (!isEmpty || REQUIRED.has(path)) put(recipe, path, value);
  }
  return recipe;
}

// Everything that is wrong with a recipe: by the schema, and by what a schema cannot say.
export function problemsOf(recipe, schema, now) {
  const found = check(recipe, schema);
  const has = path => found.some(problem => problem.path === path);
  const add = (path, message) => { if (!has(path)) found.push({ path, message }); };
  const size = /^(\d+)x(\d+)$/.exec(at(recipe, 'slot_params.resolution') ?? '');
  if (size && size.slice(1).map(Number).some(side => side < SIDE.least || side > SIDE.most || side % SIDE.step !== 0)) {
    add('slot_params.resolution', `Each side must be from ${SIDE.least} to ${SIDE.most} in steps of ${SIDE.step}, such as 512x512.`);
  }
  const { duration_sec: seconds, fps } = recipe.slot_params ?? {};
  if (seconds > 0 && fps > 0 && Math.floor(seconds * fps + 1e-9) < 1) {
    add('slot_params.duration_sec', `At ${fps} frames a second that is no whole frame.`);
  }
  const { required_concepts: required, banned_concepts: banned } = recipe.semantic_constraints ?? {};
  const both = Array.isArray(required) && Array.isArray(banned) && required.find(concept => banned.includes(concept));
  if (both) add('semantic_constraints.banned_concepts', `“${both}” is both required and banned.`);
  if (Number.isFinite(recipe.deadline) && recipe.deadline <= now) add('deadline', 'This time has passed.');
  return found;
}

// A recipe as JSON for people.
export const pretty = recipe => JSON.stringify(recipe, null, 2);
