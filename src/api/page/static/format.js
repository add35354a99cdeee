// Numbers, times and names as people read them. Pure.

const number = (value, digits) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });

// Seconds as "850 ms", "14.2 s", "2 min 5 s", "3 h 12 min", "2 d 4 h".
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${number(seconds, 1)} s`;
  const whole = Math.round(seconds);
  const parts = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => whole >= size);
  return parts.slice(first, first + 2).map(([size, unit], i) => {
    const count = i === 0 ? Math.floor(whole / size) : Math.floor((whole % parts[first][0]) / size);
    return i === 0 || count > 0 ? `${count} ${unit}` : '';
  }).filter(Boolean).join(' ');
}

// The same, coarse: whole seconds, for what counts on while one looks.
export const coarse = seconds => duration(Math.abs(seconds) < 60 ? Math.round(seconds) || 0 : seconds).replace(/\.0 s$/, ' s').replace(/^0 ms$/, '0 s');

export const ago = seconds => (seconds < 1.5 ? 'just now' : `${coarse(seconds)} ago`);

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

// Bytes in decimal units, as the node's own messages have them.
export function bytes(count) {
  if (!Number.isFinite(count)) return '–';
  let value = Math.abs(count);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${count < 0 ? '−' : ''}${number(value, digits)} ${UNITS[unit]}`;
}

const date = seconds => new Date(seconds * 1000);
export const clock = (seconds, withSeconds = true) =>
  date(seconds).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', ...(withSeconds && { second: '2-digit' }) });
export function moment(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  return date(seconds).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
}

export const shortId = id => String(id).slice(0, 8);

const NAMES = {
  clip_b: 'CLIP B/32', clip_l: 'CLIP L/14', flux: 'Flux', liveportrait: 'LivePortrait', kokoro: 'Kokoro',
};
// A name of the API's in words: `not_ready` is "not ready".
export const words = name => NAMES[name] ?? String(name ?? '').replaceAll('_', ' ');
export const capital = text => text.charAt(0).toUpperCase() + text.slice(1);
export const score = value => (Number.isFinite(value) ? value.toFixed(3) : '–');
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
