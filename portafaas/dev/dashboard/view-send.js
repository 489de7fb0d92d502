// Call a function, send a message, publish an event: a sample, edited, then sent.
import {h} from './dom.js';
import {get, post} from './server.js';
import {count, plain} from './words.js';
import {at, exchange, rows} from './view-invocations.js';

// What was done last: where, what came of it, and the invocations since.
let result = null, sending = false;

export async function load(place, app, signal) {
  const {query} = place;
  const kind = ['function', 'queue', 'topic'].find(one => query[one]);
  if (!kind) return null;
  const key = `${kind}/${query[kind]}`;
  const found = await get([`${kind}s`, query[kind], 'sample'], {}, signal);
  for (const sample of found.samples) sample.event = tidy(sample.event);
  if (query.of) {
    const before = await get(['invocations', query.of], {}, signal).catch(() => null);
    if (before?.request) found.samples.unshift({name: 'as it was', event: tidy(before.request)});
  }
  if (result?.key === key) {
    const recent = await get(['invocations'], {function: kind === 'function' ? query[kind] : '',
      limit: 20}, signal);
    result.calls = recent.invocations.filter(one => one.started >= result.began);
  } else result = null;
  return {...found, kind, name: query[kind], key};
}

// Bodies that are JSON are easier to edit as values.
function tidy(value) {
  if (Array.isArray(value)) return value.map(tidy);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => {
    // Headers as a mapping, unless one comes twice.
    if (name === 'headers' && Array.isArray(each) && new Set(each.map(([key]) => key)).size === each.length) {
      return [name, Object.fromEntries(each)];
    }
    if (name !== 'body' || typeof each !== 'string') return [name, tidy(each)];
    try {
      const found = JSON.parse(each);
      return [name, found && typeof found === 'object' ? found : each];
    } catch { return [name, each]; }
  }));
}

export function render(found, place, app) {
  const {service} = app;
  const groups = [['Functions', 'function', service.functions, one => `${one.name} – ${one.trigger}`],
    ['Queues', 'queue', service.queues, one => one.name],
    ['Topics', 'topic', service.topics, one => one.name]];
  const value = found ? found.key : '';
  const pick = h('label.field.wide-label', h('span', 'To'), h('select.grow', {id: 'to', value,
    onchange: event => {
      const [kind, ...name] = event.target.value.split('/');
      app.go(kind ? `#/send?${kind}=${encodeURIComponent(name.join('/'))}` : '#/send');
    }}, h('option', {value: ''}, 'Choose where to…'),
  groups.filter(([, , list]) => list.length).map(([title, kind, list, word]) =>
    h('optgroup', {label: title}, list.map(one =>
      h('option', {value: `${kind}/${one.name}`}, word(one)))))));
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Send and invoke')),
    h('p.soft', 'Call one function with an event, send a message to a queue, or publish an event ' +
      'for all who subscribe.'),
    h('div.row', pick), found ? editor(found, app) : intro(app));
}

function intro(app) {
  return h('div.empty-state', h('h2', 'Choose a function, a queue or a topic'),
    h('p', 'A sample that fits its trigger and its schema is made for you to edit. Files in ',
      h('code', 'events/<function>.json'), ' of the project are offered, too.'),
    app.service.functions.length === 0 && h('p', 'The manifest has no functions yet.'));
}

const WORDS = {function: ['Invoke', 'The event, in neutral form'], queue: ['Send', 'The message'],
  topic: ['Publish', 'The event']};

function editor(found, app) {
  const text = index => JSON.stringify(found.samples[index].event, null, 2);
  const [verb, label] = WORDS[found.kind];
  const area = () => document.getElementById('event');
  const check = () => {
    const problem = document.getElementById('event-problem');
    let value, said = '';
    try { value = JSON.parse(area().value); } catch (error) { said = `Not JSON: ${error.message}`; }
    problem.textContent = said;
    area().setAttribute('aria-invalid', String(Boolean(said)));
    return said ? undefined : value;
  };
  const submit = async event => {
    event.preventDefault();
    const value = check();
    if (value === undefined) { area().focus(); return; }
    if (sending) return;
    sending = true;
    const began = Date.now() / 1000 - 0.005;
    const paths = {function: ['functions', found.name, 'invoke'], queue: ['queues', found.name, 'send'],
      topic: ['topics', found.name, 'publish']};
    try {
      const answer = await post(paths[found.kind], found.kind === 'function' ? {event: value} : value);
      result = {key: found.key, answer, began, calls: []};
      app.tell(answer.outcome ? 'It was called.' : 'It was sent.', 'good');
    } catch (error) {
      result = {key: found.key, error, began, calls: []};
    }
    sending = false;
    app.refresh();
  };
  return h('div.columns.send', h('form', {onsubmit: submit, onkeydown: event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event);
  }},
  h('label.field.wide-label', {'data-keep': found.key}, h('span', 'Start from'), h('select.grow', {onchange: event => {
    area().value = text(Number(event.target.value));
    check();
  }}, found.samples.map((one, index) => h('option', {value: index}, one.name)))),
  h('label.field.column', {'data-keep': `${found.key} ${found.samples.map(s => s.name)}`}, h('span', label),
    h('textarea.code', {id: 'event', spellcheck: 'false', autocapitalize: 'off', rows: 22,
      'aria-describedby': 'event-problem event-help', value: text(0), oninput: check})),
  needs(found, app),
  h('p.error-text', {id: 'event-problem', role: 'alert', 'data-keep': 'problem'}),
  h('div.row', h('button.primary', {type: 'submit'}, verb),
    h('button', {type: 'button', onclick: () => {
      const value = check();
      if (value !== undefined) area().value = JSON.stringify(value, null, 2);
    }}, 'Tidy'),
    h('span.soft.small', {id: 'event-help'}, 'Ctrl and Enter ', verb.toLowerCase(), found.kind === 'topic' ? 'es.' : 's.'))),
  h('section', {'aria-labelledby': 'outcome'}, h('h2', {id: 'outcome'}, 'What came of it'),
    outcome(found)));
}

// Keys are neither made up nor recorded: one has to put them in.
function needs(found, app) {
  const {auth} = app.service.functions.find(one => found.kind === 'function' && one.name === found.name) || {};
  const header = {key: 'x-api-key', jwt: 'authorization'}[auth];
  if (auth === 'iam') return h('p.soft.small', 'Who calls goes into ', h('code', 'http.caller'), '.');
  return header && h('p.soft.small', 'This route wants the header ', h('code', header),
    '. Its value is not recorded, and so not part of what was sent before.');
}

function outcome(found) {
  if (!result || result.key !== found.key) return h('p.empty', 'Nothing was sent yet.');
  if (result.error) {
    return h('div.panel.bad', h('h3', 'It was refused'), h('p', plain(result.error.message)),
      result.error.hint && h('p.soft', plain(result.error.hint)),
      result.error.code && h('p.soft.small', result.error.code));
  }
  const {answer, calls} = result;
  const ids = answer.queued || (answer.id ? [answer.id] : []);
  return [answer.invocation && h('p', h('a', {href: at(answer.invocation)}, 'Its logs and its trace')),
  answer.outcome ? exchange(answer.outcome)
    : h('p', ids.length === 1 ? 'It has the id ' : `${count(ids.length, 'message')}: `,
      ids.map((id, n) => [n > 0 && ', ', h('code', plain(id))]), '.'),
  h('h3', found.kind === 'function' ? 'Its invocations since' : 'Invocations since'),
  calls.length ? rows(calls) : h('p.empty', 'None yet.')];
}
