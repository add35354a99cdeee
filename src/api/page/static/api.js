// Requests to the node: JSON in and out, problem documents as errors, the server's clock. Holds no state of slots.
//
// The cookie signs requests; no token is ever seen here.
import { capital } from './format.js';
import { get, patch } from './store.js';

// Long enough for a node that is busy with a write, short enough that a dead one is noticed.
const PATIENCE = 15_000;
// Below it a difference of clocks may be the request's own time: `Date` counts whole seconds.
const CLOCK_DIFFERENCE = 2;

let offset = 0;

// Seconds since the epoch, by the node's clock as far as known.
export const now = () => Date.now() / 1000 + offset;

// What went wrong with a request: a problem document (RFC 9457), or what stands for one where none came.
class Problem extends Error {
  constructor({ status = 0, type = '', title = '', detail = '', retryAfter = null, errors = [], eta = null }) {
    super(detail || title);
    Object.assign(this, { status, type, title, detail, retryAfter, errors, eta });
  }

  // It in one or two sentences.
  get words() {
    const said = [this.title, this.detail].filter((text, i, all) => text && all.indexOf(text) === i);
    const parts = said.map(text => capital(/[.!?]$/.test(text) ? text : `${text}.`));
    if (this.retryAfter !== null) parts.push(`Try again in ${this.retryAfter} s.`);
    return parts.join(' ');
  }
}

const STATUS_WORDS = {
  401: 'You are not signed in',
  403: 'Your sign-in does not allow this',
  404: 'There is no such thing here',
  409: 'It conflicts with what is there',
  410: 'It was here and has expired',
  413: 'It is too large',
  422: 'The node does not accept it',
  429: 'The node takes nothing in right now',
  503: 'The node is not ready',
  507: 'The node could not write it down',
};

async function problemOf(response) {
  let document = {};
  try { document = await response.json(); } catch { /* some answers have no body */ }
  const after = Number.parseInt(response.headers.get('Retry-After') ?? '', 10);
  return new Problem({
    status: response.status,
    type: document.type ?? '',
    title: document.title ?? STATUS_WORDS[response.status] ?? `The node answered ${response.status}`,
    detail: document.detail ?? '',
    retryAfter: Number.isFinite(after) ? after : null,
    errors: Array.isArray(document.errors) ? document.errors : [],
    eta: document.eta ?? null,
  });
}

function setClock(response, began) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isFinite(date)) return;
  const difference = (date + 500 - (began + Date.now()) / 2) / 1000;
  offset = Math.abs(difference) > CLOCK_DIFFERENCE ? difference : 0;
}

// What RFC 6750 has a refusal say: which scope was missing.
function learnLack(response) {
  const scope = /scope="([^"]+)"/.exec(response.headers.get('WWW-Authenticate') ?? '')?.[1];
  const session = get('session');
  if (scope && !session.lacks.includes(scope)) patch('session', { lacks: [...session.lacks, scope] });
}

// Whoever is signed in may do this; where the node does not say so, nothing is known until it refuses.
function setScopes(response) {
  const header = response.headers.get('Vortex-Scopes');
  const scopes = header === null ? get('session').scopes : header.split(/[\s,]+/).filter(Boolean);
  const session = get('session');
  if (session.signedOut || String(scopes) !== String(session.scopes)) patch('session', { signedOut: false, scopes });
}

// The answer's JSON (null for none); throws a Problem.
export async function request(method, path, body, headers = {}) {
  const began = Date.now();
  const sent = body === undefined ? {} : { body, headers: { 'Content-Type': 'application/json', ...headers } };
  let response;
  try {
    response = await fetch(path, {
      method, ...sent, credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(PATIENCE),
    });
  } catch (error) {
    const late = error.name === 'TimeoutError';
    throw new Problem({ title: late ? 'The node did not answer in time' : 'The node cannot be reached' });
  }
  setClock(response, began);
  if (response.status === 401) {
    patch('session', { signedOut: true, scopes: null, lacks: [] });
    throw await problemOf(response);
  }
  setScopes(response);
  if (response.status === 403) learnLack(response);
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

// Whether whoever is signed in may do what `scope` allows; true where that is not known: the node decides anyway.
export const may = (session, scope) => !session.lacks.includes(scope) && (session.scopes === null || session.scopes.includes(scope));

// Ends the session, and leads to where another begins.
export async function signOut() {
  try {
    await fetch('/logout', { method: 'POST', credentials: 'same-origin', redirect: 'manual' });
  } finally {
    location.assign('/login');
  }
}

export const slotPath = id => `/v1/slots/${encodeURIComponent(id)}`;

// Where an artifact lies in a store of its own; null where this node alone has it. For links only.
export function storeAddress(artifact) {
  try {
    const url = new URL(artifact.url, location.href);
    return /^https?:$/.test(url.protocol) && url.origin !== location.origin ? url.href : null;
  } catch { return null; }
}

// Where an artifact is shown from: always this node, whatever store it was handed over to, since the page's policy
// allows no other host.
export function artifactPath(id, artifact) {
  try {
    const url = new URL(artifact.url, location.href);
    if (artifact.url && url.origin === location.origin) return url.pathname + url.search;
  } catch { /* no address of this node's */ }
  return `${slotPath(id)}/artifacts/${artifact.name.split('/').map(encodeURIComponent).join('/')}`;
}
