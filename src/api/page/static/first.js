// What is needed around the first paint. Before it: the theme that the person chose, so that nothing flashes. After it: all
// that index.html keeps for later, so that nothing competes with it. A classic script in the head; every other is a module.
//
// Owns the theme's key in localStorage; without a choice the system's preference holds (see style/base.css).
(() => {
  const key = 'vortex-theme';
  const known = ['light', 'dark'];
  const root = document.documentElement;
  let chosen = null;
  try { chosen = localStorage.getItem(key); } catch { /* storage may be forbidden: the system's preference holds */ }
  if (known.includes(chosen)) root.dataset.theme = chosen;

  // What views/head.js calls: 'system', 'light' or 'dark'.
  globalThis.vortexTheme = {
    get: () => root.dataset.theme ?? 'system',
    set: theme => {
      if (known.includes(theme)) root.dataset.theme = theme; else delete root.dataset.theme;
      try {
        if (known.includes(theme)) localStorage.setItem(key, theme); else localStorage.removeItem(key);
      } catch { /* it holds for this visit only */ }
      dispatchEvent(new Event('vortex-theme'));
    },
  };

  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    for (const kept of document.getElementById('later').content.children) {
      const element = document.createElement(kept.localName);
      for (const { name, value } of kept.attributes) element.setAttribute(name, value);
      // Scripts run in the order in which they stand there.
      if (kept.localName === 'script') element.async = false;
      document.body.append(element);
    }
  };
  // A frame is painted between the two. In a window that is hidden there is none, hence the second way.
  document.addEventListener('DOMContentLoaded', () => {
    requestAnimationFrame(() => setTimeout(begin));
    setTimeout(begin, 300);
  });
})();
