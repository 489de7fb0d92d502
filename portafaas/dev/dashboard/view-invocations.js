// What has been called, and how it ended; one invocation with its trace.
import {h} from './dom.js';
import {get} from './server.js';
import {body, brief, count, json, lasted, plain, state, when} from './words.js';

const STATES = [['', 'Any state'], ['failed', 'Failed, of any kind'], ['ok', 'ok'],
  ['error', 'failed'], ['again', 'comes again'], ['dead', 'dead letter'], ['timeout', 'timeout'],
  ['crash', 'crashed'], ['memory', 'out of memory'], ['refused', 'refused']];

export async function load(place, app, signal) {
  if (place.path[1]) return get(['invocations', place.path[1]], {}, signal);
  const {query} = place;
  return get(['invocations'], {function: query.function, status: query.status,
    before: query.before, limit: 50}, signal);
}

export function render(found, place, app) {
  return place.path[1] ? one(found, app) : list(found, place, app);
}

export const at = id => `#/invocations/${encodeURIComponent(id)}`;

function address(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#/invocations${text ? `?${text}` : ''}`;
}

function list(found, place, app) {
  const {query} = place;
  const filter = (name, label, options) => h('label.field', h('span', label),
    h('select', {value: query[name] || '', onchange: event =>
      app.go(address({...query, before: '', [name]: event.target.value}))},
    options.map(([value, word]) => h('option', {value}, word))));
  const functions = app.service.functions.map(one => [one.name, one.name]);
  const filtered = query.function || query.status;
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Invocations'),
    h('form.row', {onsubmit: event => event.preventDefault(), 'aria-label': 'Filter'},
      filter('function', 'Function', [['', 'All functions'], ...functions]),
      filter('status', 'State', STATES))),
  found.invocations.length ? rows(found.invocations) : h('div.empty-state',
    h('h2', filtered ? 'Nothing fits the filter' : 'Nothing has been called yet'),
    filtered ? h('p', h('a', {href: '#/invocations'}, 'Show all invocations'))
      : h('p', 'Call a route, or ', h('a', {href: '#/send'}, 'send something from here'), '.')),
  h('div.row.pages',
    query.before && h('a.button', {href: address({...query, before: ''})}, 'Newest'),
    found.before && h('a.button', {href: address({...query, before: found.before})}, 'Older')));
}

// A table that is a list of cards where there is little room.
export function rows(invocations) {
  const longest = Math.max(...invocations.map(one => one.seconds || 0), 0.001);
  return h('table.cards.invocations', h('thead', h('tr', h('th', {scope: 'col'}, 'State'),
    h('th', {scope: 'col'}, 'Function'), h('th', {scope: 'col'}, 'What'),
    h('th', {scope: 'col'}, 'Began'), h('th', {scope: 'col'}, 'Took'))),
  h('tbody', invocations.map(one => h('tr.go', {'data-key': one.id},
    h('td', state(one.status)),
    h('th', {scope: 'row'}, h('a.row-link', {href: at(one.id)}, one.function)),
    h('td.what', h('span', brief(one.summary, 90)),
      one.attempt > 1 && h('span.tag', `attempt ${one.attempt}`),
      one.error && h('span.error-text', brief(one.error, 140))),
    h('td.nowrap', when(one.started)),
    h('td.nowrap.took', lasted(one.seconds),
      h('span.bar-track', {'aria-hidden': 'true'}, h('span', {style:
        {width: `${Math.max(2, 100 * Math.sqrt((one.seconds || 0) / longest))}%`}})))))));
}

function one(found, app) {
  const facts = [['State', state(found.status)], ['Began', when(found.started)],
    ['Took', lasted(found.seconds)], found.attempt > 1 && ['Attempt', found.attempt],
    /^(queue|function)\//.test(found.box) && ['From', h('a', {href: `#/queues/${encodeURIComponent(found.box)}`}, found.box)],
    found.request?.task?.run && ['Of the run', h('a', {href: `#/workflows/${
      [found.request.task.workflow, found.request.task.run].map(encodeURIComponent).join('/')}`},
    plain(found.request.task.workflow))],
    found.target && ['As', found.target], ['Invocation', h('code', plain(found.id))],
    found.trace_id && ['Trace', h('code', plain(found.trace_id))],
    found.correlation_id && ['Correlation', h('code', plain(found.correlation_id))]];
  const repeat = found.request && !found.request.cut &&
    app.service.functions.some(each => each.name === found.function);
  return h('div', h('p.crumbs', h('a', {href: '#/invocations'}, 'Invocations')),
    h('div.head', h('h1', {tabindex: '-1'}, found.function, ' ',
      h('span.what-for', brief(found.summary, 80))),
    repeat && h('a.button', {href:
      `#/send?function=${encodeURIComponent(found.function)}&of=${encodeURIComponent(found.id)}`},
    'Edit and invoke again')),
    h('dl.facts', facts.filter(Boolean).map(([name, value]) =>
      h('div', h('dt', name), h('dd', value)))),
    found.error && h('section.panel.bad', h('h2', 'Why it failed'),
      h('pre.code', {tabindex: '0'}, plain(found.error))),
    h('section', h('h2', 'Trace'), waterfall(found)),
    h('section', h('h2', 'Logs'), logs(found.logs)),
    h('div.columns',
      h('section', h('h2', 'Request'), exchange(found.request)),
      h('section', h('h2', 'Response'), exchange(found.response))),
    h('section', h('h2', 'What it sent and wrote'), effects(found.effects)));
}

// A neutral event or outcome: its body apart, since that is what one looks for.
export function exchange(value) {
  if (value === null || value === undefined) return h('p.empty.small', 'Nothing.');
  const inner = value.http || (value.status !== undefined ? value : null);
  const note = value.cut && h('p.soft.small', 'Too long to be kept as a whole: it is shortened.');
  if (!inner) return [note, json(spread(value))];
  const text = inner.body ?? null;
  const head = inner.method ? `${inner.method} ${inner.path}${inner.query ? `?${inner.query}` : ''}`
    : `HTTP ${inner.status}`;
  const headers = Array.isArray(inner.headers) ? inner.headers
    : Object.entries(inner.headers || {});
  return [note, h('p.first', h('code', plain(head))),
    headers.length > 0 && h('details', h('summary', count(headers.length, 'header')),
      h('dl.pairs', headers.map(([name, each]) =>
        [h('dt', plain(name)), h('dd', plain(each))]))),
    inner.body_base64 ? body({size: inner.body_base64.length * 0.75 | 0, base64: inner.body_base64})
      : body(text === null || text === '' ? null
        : {size: String(text).length, text: typeof text === 'string' ? text : JSON.stringify(text)}),
    inner.cookies?.length > 0 && json({cookies: inner.cookies}),
    inner.error && h('p.error-text', plain(inner.error))];
}

// Bodies that are JSON as values.
function spread(value) {
  if (Array.isArray(value)) return value.map(spread);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => {
    if (name === 'body' && typeof each === 'string') {
      try { return [name, JSON.parse(each)]; } catch { return [name, each]; }
    }
    return [name, spread(each)];
  }));
}

function waterfall(found) {
  const all = ordered(found.trace);
  const begin = Math.min(...all.map(item => item.start));
  const end = Math.max(...all.map(item => item.start + (item.seconds || 0)), begin + 0.001);
  const total = end - begin;
  const share = seconds => `${(100 * seconds / total).toFixed(3)}%`;
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return h('div.waterfall', h('div.wf-row.wf-axis', {'aria-hidden': 'true'}, h('span'),
    h('span.wf-track', steps.map(step => h('span.tick', {style: {left: `${step * 100}%`}},
      step ? lasted(step * total) : '0'))), h('span')),
  h('ol', all.map(item => h('li.wf-row', {class: item.span ? 'span' : '',
    'data-key': item.key, 'aria-current': item.id === found.id ? 'true' : null},
  h('span.wf-name', {style: {'--deep': item.deep}},
    item.span ? plain(item.name) : h('a', {href: at(item.id)}, item.function),
    !item.span && item.attempt > 1 && h('span.tag', `attempt ${item.attempt}`)),
  h('span.wf-track', {'aria-hidden': 'true'}, h('span.wf-bar', {class: item.status === 'ok' ? '' : 'bad',
    style: {left: share(item.start - begin), width: share(item.seconds || 0)}})),
  h('span.wf-took', lasted(item.seconds),
    item.status !== 'ok' && !item.span && state(item.status),
    h('span.hidden', `, ${lasted(item.start - begin)} after the start`))))));
}

// Invocations under those that caused them, with their spans, in the order of time.
function ordered(trace) {
  const spans = new Map(), out = [];
  for (const item of trace) {
    spans.set(item.span_id, item.id);
    for (const span of item.spans || []) spans.set(span.span_id, item.id);
  }
  const parents = new Map(trace.map(item => [item.id, spans.get(item.parent_id)]));
  const add = (item, deep) => {
    out.push({...item, key: item.id, start: item.started, deep});
    (item.spans || []).filter(span => span.span_id !== item.span_id).forEach((span, number) => out.push({...span, span: true, deep: deep + 1, name: span.name === item.function ? 'handler' : span.name,
      id: null, key: `${item.id}/${number}`, status: span.status === 'ok' || !span.status ? 'ok' : 'error'}));
    for (const other of trace) {
      if (parents.get(other.id) === item.id && other.id !== item.id) add(other, Math.min(deep + 1, 6));
    }
  };
  const done = () => new Set(out.map(item => item.key));
  for (const item of trace) {
    const parent = parents.get(item.id);
    if (!parent || parent === item.id) add(item, 0);
  }
  for (const item of trace) if (!done().has(item.id)) add(item, 0);
  return out;
}

export function logs(lines) {
  if (!lines?.length) return h('p.empty.small', 'It logged nothing.');
  return h('ol.logs', {tabindex: '0'}, lines.map(line => h('li', {class: `level-${level(line)}`},
    when(line.time), h('span.level', level(line)), h('span.text', plain(line.text),
      line.fields && Object.keys(line.fields).length > 0 && h('span.fields',
        Object.entries(line.fields).map(([name, value]) =>
          h('span', `${plain(name)}=`, h('b', brief(value, 400)))))))));
}

const level = line => ['debug', 'info', 'warning', 'error', 'critical']
  .find(word => word === String(line.level).toLowerCase()) || 'print';

function effects(list) {
  if (!list?.length) return h('p.empty.small', 'Nothing.');
  return h('ul.effects', list.map(effect => {
    const {kind, name, verb, ...rest} = effect;
    return h('li', h('details', h('summary', h('span.tag', plain(verb)),
      ` ${plain(kind)} `, h('strong', plain(name)), ' ',
      h('span.soft', brief(rest.row ?? rest.body ?? rest.key ?? rest, 70))), json(spread(rest))));
  }));
}
