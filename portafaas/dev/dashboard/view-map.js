// The map: functions and resources, with what is in them now.
import {h, picture, shape} from './dom.js';
import {get} from './server.js';
import {count} from './words.js';

// What is smaller than this nobody reads: it scrolls instead, until all of it is asked for.
const LEAST = 0.8;
let known = null, zoom = 0;
const flashes = new Set();

export function forget() { known = null; }

export async function load(place, app, signal) {
  known ||= await get(['map'], {}, signal);
  app.numbers = await get(['numbers'], {}, signal);
  return known;
}

export function heard(event) {
  if (event.type === 'invocation') flashes.add(`function:${event.function}`);
}

// Where a node leads.
export function link(id) {
  const [kind, name] = [id.slice(0, id.indexOf(':')), id.slice(id.indexOf(':') + 1)];
  const at = encodeURIComponent(name);
  switch (kind) {
    case 'http': case 'function': return `#/invocations?function=${at}`;
    case 'queue': case 'dead-letters': return `#/queues/${encodeURIComponent(`queue/${name}`)}`;
    case 'topic': return `#/send?topic=${at}`;
    case 'table': return `#/data/table/${at}`;
    case 'bucket': return `#/data/bucket/${at}`;
    case 'workflow': return `#/workflows/${at}`;
    case 'schedule': return '#/schedules';
    default: return '#/environment';
  }
}

// What a node says of itself: [kind of state, words], the gravest first.
function said(id, facts) {
  const out = [];
  if (!facts) return out;
  if (facts.dead) out.push(['bad', count(facts.dead, 'dead letter')]);
  if (facts.failed && facts.last && facts.last.status !== 'ok') out.push(['bad', 'last call failed']);
  if (facts.leased) out.push(['busy', `${facts.leased} under way`]);
  if (facts.ready) out.push(['busy', `${facts.ready} waiting`]);
  if (facts.later) out.push(['quiet', `${facts.later} due later`]);
  if (facts.running) out.push(['busy', `${facts.running} running`]);
  if (id.startsWith('workflow:') && facts.failed) out.push(['bad', `${facts.failed} failed`]);
  if (facts.calls) out.push(['quiet', count(facts.calls, 'call')]);
  if (facts.rows) out.push(['quiet', count(facts.rows, 'row')]);
  if (facts.objects) out.push(['quiet', count(facts.objects, 'object')]);
  if (facts.succeeded) out.push(['quiet', `${facts.succeeded} done`]);
  return out;
}

export function render(found, place, app) {
  const nodes = app.numbers.nodes;
  if (!found.graph.nodes.length) {
    return h('div', h('h1', {tabindex: '-1'}, 'Map'), h('div.empty-state',
      h('h2', 'No functions yet'), h('p', 'Add one to portafaas.yaml: it appears here at once.')));
  }
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Map'),
    h('div.row', {role: 'group', 'aria-label': 'Size of the picture'},
      h('button', {type: 'button', 'data-zoom': '-', onclick: () => scale(1 / 1.25),
        title: 'Smaller'}, '−', h('span.hidden', ' Smaller')),
      h('button', {type: 'button', onclick: () => scale(0)}, 'Show all'),
      h('button', {type: 'button', onclick: () => scale(1.25), title: 'Larger'}, '+',
        h('span.hidden', ' Larger')))),
  h('p.soft', found.about, ' Each box leads to what is in it.'),
  h('div.canvas', {'data-keep': 'picture', tabindex: '0', role: 'region',
    'aria-label': 'Picture of the service; scrolls'}),
  h('h2', 'Everything in the picture'), table(found, nodes));
}

function table(found, nodes) {
  const order = ['function', 'queue', 'topic', 'table', 'bucket', 'workflow'];
  const list = found.graph.nodes.filter(node => order.includes(node.kind))
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  const names = new Map(found.graph.nodes.map(node => [node.id, node.name]));
  const edges = id => found.graph.edges.filter(edge => edge.target === id && edge.kind !== 'read')
    .map(edge => names.get(edge.source));
  return h('table.cards.everything', h('thead', h('tr', ['Kind', 'Name', 'Started or fed by', 'Now'].map(word =>
      h('th', {scope: 'col'}, word)))),
    h('tbody', list.map(node => h('tr', {'data-key': node.id},
      h('td.soft', found.kinds[node.kind]),
      h('th', {scope: 'row'}, h('a', {href: link(node.id)}, node.name)),
      h('td.soft', [...new Set(edges(node.id))].join(', ') || '–'),
      h('td', h('span.pills', pills(node.id, nodes[node.id])))))));
}

function pills(id, facts) {
  const words = said(id, facts);
  if (!words.length) return h('span.soft', '–');
  return words.map(([kind, text]) => h('span.pill', {class: kind}, text));
}

// The picture is made once; its numbers are put in afterwards, each time.
export function shown(main, app) {
  const canvas = main.querySelector('.canvas');
  if (!canvas || !known) return;
  if (canvas.made !== known) {
    canvas.made = known;
    const svg = picture(known.picture);
    svg.removeAttribute('role');
    svg.querySelector('.page')?.remove();
    for (const node of known.graph.nodes) linked(svg, node);
    canvas.replaceChildren(svg);
    zoom = 0;
    fit(canvas);
  }
  for (const node of known.graph.nodes) {
    const element = canvas.querySelector(`[id="${CSS.escape(known.elements[node.id])}"]`);
    if (element) mark(element, node, app.numbers.nodes[node.id]);
  }
  for (const id of flashes) {
    const element = canvas.querySelector(`[id="${CSS.escape(known.elements[id] || '')}"]`);
    element?.classList.remove('flash');
    // Read so that the animation begins anew.
    element?.getBoundingClientRect();
    element?.classList.add('flash');
  }
  flashes.clear();
}

function linked(svg, node) {
  const element = svg.querySelector(`[id="${CSS.escape(known.elements[node.id])}"]`);
  if (!element) return;
  const anchor = shape('a', {href: link(node.id), class: 'node-link'});
  element.replaceWith(anchor);
  anchor.append(element);
}

function mark(element, node, facts) {
  const words = said(node.id, facts).slice(0, 2);
  const text = words.map(([, word]) => word).join(' · ');
  const kind = words[0]?.[0] || '';
  element.classList.toggle('st-bad', kind === 'bad');
  element.classList.toggle('st-busy', kind === 'busy');
  element.parentNode.setAttribute('aria-label', `${node.kind} ${node.name}${text && `: ${text}`}`);
  if ((element.told || '') === text) return;
  element.told = text;
  element.querySelector('.live-pill')?.remove();
  if (!text) return;
  const box = element.querySelector('.box').getBBox();
  const wide = text.length * 5.9 + 12, right = box.x + box.width - 4;
  element.append(shape('g', {class: `live-pill ${kind}`},
    shape('rect', {x: right - wide, y: box.y + box.height - 6, width: wide, height: 16, rx: 8}),
    shape('text', {x: right - wide / 2, y: box.y + box.height + 6, 'text-anchor': 'middle'}, text)));
}

function fit(canvas, least = LEAST) {
  const svg = canvas.querySelector('svg');
  const [, , wide, high] = svg.getAttribute('viewBox').split(' ').map(Number);
  zoom ||= Math.min(1.15, Math.max(least, (canvas.clientWidth - 2) / wide));
  svg.setAttribute('width', wide * zoom);
  svg.setAttribute('height', high * zoom);
}

function scale(by) {
  zoom = by ? Math.min(3, Math.max(0.3, zoom * by)) : 0;
  fit(document.querySelector('.canvas'), 0.3);
}

