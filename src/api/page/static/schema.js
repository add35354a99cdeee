// Checks a recipe by the node's own JSON Schema (draft 2020-12), the part of it that recipes use, and says in words what
// would be accepted. Pure. The node checks again, and by more than a schema can say.

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const length = text => [...text].length;
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const list = names => (names.length > 8 ? `${names.slice(0, 8).join(', ')}, …` : names.join(', '));

// What a schema accepts, after "must be".
export function accepted(schema) {
  if (schema.anyOf) return accepted(schema.anyOf[0]);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${list(schema.enum)}`;
  if (schema.format === 'uuid') return 'a UUID';
  const from = schema.minimum ?? schema.exclusiveMinimum;
  switch (schema.type) {
    case 'integer':
    case 'number': {
      const what = schema.type === 'integer' ? 'a whole number' : 'a number';
      const least = schema.exclusiveMinimum !== undefined ? `above ${from}` : `from ${from}`;
      if (from === undefined) return what;
      return schema.maximum === undefined ? `${what} ${least}` : `${what} ${least} to ${schema.maximum.toLocaleString('en')}`;
    }
    case 'string':
      if (schema.examples) return `a text such as “${schema.examples[0]}”`;
      if (schema.pattern && schema.minLength === undefined) return 'a text of the right form';
      return schema.maxLength ? `a text of ${schema.minLength ?? 0} to ${schema.maxLength.toLocaleString('en')} characters` : 'a text that is not empty';
    case 'array':
      return `a list of ${schema.minItems ?? 0} to ${schema.maxItems} (each ${accepted(schema.items)})`;
    case 'object':
      return `an object with ${list(Object.keys(schema.properties ?? {}))}`;
    default:
      return 'something else';
  }
}

function isType(value, type) {
  switch (type) {
    case 'integer': return Number.isInteger(value);
    case 'number': return Number.isFinite(value);
    case 'string': return typeof value === 'string';
    case 'array': return Array.isArray(value);
    case 'object': return isObject(value);
    case 'null': return value === null;
    default: return true;
  }
}

// Whether `value` itself is accepted, without what is in it.
function holds(value, schema) {
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum) return schema.enum.includes(value);
  if (!isType(value, schema.type)) return false;
  if (typeof value === 'string') {
    return length(value) >= (schema.minLength ?? 0) && length(value) <= (schema.maxLength ?? Infinity)
      && (!schema.pattern || new RegExp(schema.pattern, 'u').test(value)) && (schema.format !== 'uuid' || UUID.test(value));
  }
  if (typeof value === 'number') {
    return value >= (schema.minimum ?? -Infinity) && value > (schema.exclusiveMinimum ?? -Infinity) && value <= (schema.maximum ?? Infinity);
  }
  if (Array.isArray(value)) return value.length >= (schema.minItems ?? 0) && value.length <= (schema.maxItems ?? Infinity);
  return true;
}

// Everything that is wrong: [{ path, message }], paths as in the node's own problems (`audio_track.speed`).
export function check(value, schema, path = '') {
  if (schema.anyOf) {
    const found = schema.anyOf.map(one => check(value, one, path));
    return found.some(problems => problems.length === 0) ? [] : found[0];
  }
  if (!holds(value, schema)) {
    const isMissing = value === '' || value === undefined;
    return [{ path, message: isMissing ? `It is missing; it must be ${accepted(schema)}.` : `It must be ${accepted(schema)}.` }];
  }
  const at = name => (path === '' ? name : `${path}.${name}`);
  if (Array.isArray(value)) {
    const wrong = value.some(item => check(item, schema.items).length > 0);
    return wrong ? [{ path, message: `It must be ${accepted(schema)}.` }] : [];
  }
  if (!isObject(value)) return [];
  const missing = (schema.required ?? []).filter(name => value[name] === undefined)
    .map(name => ({ path: at(name), message: `It is missing; it must be ${accepted(schema.properties[name])}.` }));
  const inside = Object.entries(value).flatMap(([name, item]) => {
    const known = schema.properties?.[name];
    if (known) return check(item, known, at(name));
    return schema.additionalProperties === false ? [{ path: at(name), message: `There is no such field; known here: ${list(Object.keys(schema.properties))}.` }] : [];
  });
  return [...missing, ...inside];
}

// The schema of one field, such as `audio_track.speed`, without the choice of null.
export function fieldOf(schema, path) {
  let found = schema;
  for (const name of path.split('.')) {
    const inner = found?.anyOf?.[0] ?? found;
    found = inner?.properties?.[name];
  }
  return found?.anyOf?.[0] ?? found ?? {};
}
