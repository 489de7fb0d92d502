// Elements of values. Everything that comes from handlers is text: nothing here parses markup.

const SVG = 'http://www.w3.org/2000/svg';
// What our own pictures are made of; anything else of a picture is left out.
const TAGS = new Set(['svg', 'g', 'rect', 'path', 'circle', 'text', 'title', 'desc']);
const ATTRIBUTES = new Set(['class', 'viewBox', 'width', 'height', 'x', 'y', 'rx', 'cx', 'cy', 'r',
  'd', 'transform', 'id', 'data-from', 'data-to', 'data-edges', 'role', 'aria-labelledby']);
const HANDLERS = ['onclick', 'onsubmit', 'oninput', 'onchange', 'onkeydown', 'ontoggle'];

// h('p.soft', {id: 'a'}, 'text', child, [more]): null and false are left out.
export function h(name, ...rest) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  let given = {};
  if (rest.length && rest[0] && typeof rest[0] === 'object' && !(rest[0] instanceof Node) &&
    !Array.isArray(rest[0])) given = rest.shift();
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (HANDLERS.includes(key)) node[key] = value;
    else if (key === 'style') for (const [n, v] of Object.entries(value)) node.style.setProperty(n, v);
    else if (key === 'value' && tag !== 'option') node.value = value;
    else if (key === 'class') node.className = [node.className, value].filter(Boolean).join(' ');
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  add(node, rest);
  // Only now the options are there.
  if (tag === 'select' && 'value' in given) node.value = given.value ?? '';
  return node;
}

function add(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === '') continue;
    if (Array.isArray(child)) add(node, child);
    else node.append(child instanceof Node ? child : String(child));
  }
}

// A picture of [tag, attributes, text or children].
export function picture(tree) {
  const [tag, attributes, rest] = tree;
  const node = document.createElementNS(SVG, TAGS.has(tag) ? tag : 'g');
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'style') {
      for (const part of value.split(';')) {
        const [property, of] = part.split(':');
        if (property.startsWith('--')) node.style.setProperty(property, of);
      }
    } else if (ATTRIBUTES.has(name)) node.setAttribute(name, value);
  }
  if (typeof rest === 'string') node.textContent = rest;
  else node.append(...rest.map(picture));
  return node;
}

export function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const ICONS = {
  map: 'M2 3.5h4v4H2zM10 1.5h4v4h-4zM10 10h4v4h-4zM6 5.5h2.5v-2H10M8.5 5.5V12H10',
  invocations: 'M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z',
  queues: 'M2 4.5h12v7H2zM6 4.5v7M10 4.5v7',
  send: 'M14 2 7 9M14 2 9.5 14 7 9 2 6.5z',
  schedules: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5V8l2.5 1.5',
  data: 'M2.5 4c0-1.1 2.5-2 5.5-2s5.5.9 5.5 2-2.5 2-5.5 2-5.5-.9-5.5-2zM2.5 4v8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2',
  workflows: 'M5.5 1.5h5v3.5h-5zM1.5 11h5v3.5h-5zM9.5 11h5v3.5h-5zM8 5v3M4 11V8h8v3',
  findings: 'M8 1.5 14.5 13.5h-13zM8 6v3.5M8 11.5v.5',
  environment: 'M2 4.5h7M13 4.5h1M2 11.5h1M7 11.5h7M11 2.5v4M5 9.5v4',
  ok: 'M3 8.5 6.5 12 13 4.5',
  bad: 'M4 4l8 8M12 4l-8 8',
  again: 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3',
  dead: 'M2 4h12v8H2zM2 4l6 5 6-5M10 12l3 3M13 12l-3 3',
  time: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3.2l2 1.3',
  wait: 'M5 3v10M11 3v10',
  run: 'M4.5 3v10l8-5z',
  menu: 'M2 4h12M2 8h12M2 12h12',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  moon: 'M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z',
  out: 'M6 3H3v10h10v-3M9 3h4v4M13 3 7.5 8.5',
};

export function icon(name) {
  return shape('svg', {viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true'},
    shape('path', {d: ICONS[name] || ICONS.ok}));
}

// Make `from` like `to`, keeping elements, so that focus, scrolling and what is open stay.
// Children are told apart by data-key. What has data-keep of the same value is left alone.
export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName ||
    from.dataset?.key !== to.dataset?.key) {
    from.replaceWith(to);
    return to;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return from;
  }
  if (from.dataset.keep !== undefined && from.dataset.keep === to.dataset.keep) return from;
  const stays = name => name === 'open' && ['DETAILS', 'DIALOG'].includes(from.nodeName);
  for (const {name} of [...from.attributes]) {
    if (!to.hasAttribute(name) && !stays(name)) from.removeAttribute(name);
  }
  for (const {name, value} of [...to.attributes]) {
    if (from.getAttribute(name) === value || stays(name)) continue;
    // As an attribute the policy would refuse it.
    if (name === 'style') from.style.cssText = to.style.cssText;
    else from.setAttribute(name, value);
  }
  for (const name of HANDLERS) if (from[name] !== to[name]) from[name] = to[name];
  if (from.nodeName !== 'TEXTAREA' && from.nodeName !== 'INPUT') children(from, to);
  return from;
}

function children(from, to) {
  const wanted = new Set([...to.children].map(node => node.dataset?.key).filter(Boolean));
  const known = new Map([...from.children].filter(node => node.dataset?.key)
    .map(node => [node.dataset.key, node]));
  let here = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = next.dataset?.key;
    // What is gone makes room, so that what stays need not be moved.
    while (here && here.dataset?.key && !wanted.has(here.dataset.key)) {
      const gone = here;
      here = here.nextSibling;
      gone.remove();
    }
    const old = key ? known.get(key) : here && !here.dataset?.key ? here : null;
    if (!old) {
      from.insertBefore(next, here);
      continue;
    }
    if (old === here) here = here.nextSibling;
    else from.insertBefore(old, here);
    morph(old, next);
  }
  while (here) {
    const gone = here;
    here = here.nextSibling;
    gone.remove();
  }
}
