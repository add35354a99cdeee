// Preact, its hooks and htm in one place, so that views import from here and never from vendor/.
//
// Whatever is written as ${value} in html`…` becomes text or an attribute's value: it is never read as markup.
import { h, render } from './vendor/preact.mjs';
import { useEffect, useMemo, useRef, useState } from './vendor/hooks.mjs';
import htm from './vendor/htm.mjs';

export const html = htm.bind(h);
export { render, useEffect, useMemo, useRef, useState };
