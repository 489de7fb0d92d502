// Queues and the inboxes of functions: what waits, what is under way, what was given up.
import {h} from './dom.js';
import {get, post} from './server.js';
import {body, brief, count, lasted, plain, state, when} from './words.js';

const chosen = new Set();
const REASONS = {attempts: 'failed every time', age: 'too old', permanent: 'failed for good',
  poison: 'cannot be read', handler: 'given up by the handler', platform: 'given up by the platform'};

export async function load(place, app, signal) {
  const boxes = await get(['boxes'], {}, signal);
  const box = place.path[1];
  if (!box) return {boxes};
  const [letters, messages] = await Promise.all([
    get(['boxes', box, 'letters'], {after: place.query.after, limit: 50}, signal),
    get(['boxes', box, 'messages'], {limit: 50}, signal)]);
  return {boxes, letters, messages};
}

export function render(found, place, app) {
  return place.path[1] ? box(found, place, app) : list(found.boxes);
}

const at = box => `#/queues/${encodeURIComponent(box)}`;

function list(boxes) {
  const part = (title, about, some, second) => some.length > 0 && h('section', h('h2', title),
    h('p.soft', about), table(some, second));
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Queues')),
    !boxes.length && h('div.empty-state', h('h2', 'Nothing is delivered here'),
      h('p', 'The manifest has no queues, and no functions with a topic, object, table or ' +
        'schedule trigger.')),
    part('Queues', 'Messages that functions send, and who gets them.',
      boxes.filter(one => one.kind === 'queue'), 'Goes to'),
    part('Inboxes', 'Events on their way to functions with a topic, object, table or schedule.',
      boxes.filter(one => one.kind !== 'queue'), 'Trigger'));
}

const number = (value, kind = '') =>
  h('td.number', {class: value ? '' : 'zero'}, value ? h('strong', {class: kind}, value) : h('span.soft', value ?? '–'));

function table(boxes, second) {
  const heads = ['Name', second, 'Ready', 'Due later', 'Under way', 'Dead letters', 'Oldest'];
  return h('table.cards', h('thead', h('tr', heads.map((word, place) =>
    h('th', {scope: 'col', class: place > 1 ? 'number' : ''}, word)))),
  h('tbody', boxes.map(one => h('tr.go', {'data-key': one.box},
    h('th', {scope: 'row'}, h('a.row-link', {href: at(one.box)}, one.name),
      one.ordered && h('span.tag', 'ordered')),
    h('td.soft', one.kind === 'queue' ? one.functions.join(', ') || 'nobody' : one.trigger),
    ...[[one.ready, 'busy'], [one.later, ''], [one.leased, 'busy'], [one.dead, 'bad']]
      .map(([value, kind], place) => {
        const cell = number(value, kind);
        cell.dataset.label = heads[place + 2];
        return cell;
      }),
    h('td.number.nowrap', {'data-label': 'Oldest', class: one.oldest === null ? 'zero' : ''},
      one.oldest === null ? h('span.soft', '–') : lasted(one.oldest))))));
}

function box(found, place, app) {
  const name = place.path[1];
  const facts = found.boxes.find(one => one.box === name);
  const {letters, messages} = found;
  const known = new Set(letters.letters.map(one => one.number));
  for (const each of [...chosen]) if (!known.has(each)) chosen.delete(each);
  return h('div', h('p.crumbs', h('a', {href: '#/queues'}, 'Queues')),
    h('div.head', h('h1', {tabindex: '-1'}, facts.name, ' ',
      h('span.what-for', facts.kind === 'queue' ? 'queue' : `inbox, ${facts.trigger}`)),
    facts.kind === 'queue'
      ? h('a.button', {href: `#/send?queue=${encodeURIComponent(facts.name)}`}, 'Send a message')
      : h('a.button', {href: `#/send?function=${encodeURIComponent(facts.name)}`}, 'Invoke')),
    h('dl.facts.numbers', [['Ready', facts.ready], ['Due later', facts.later],
      ['Under way', facts.leased], ['Dead letters', facts.dead ?? 'none are kept'],
      facts.due !== null && ['Next due', `in ${lasted(facts.due)}`]].filter(Boolean)
      .map(([word, value]) => h('div', h('dt', word), h('dd', value))),
    h('div', h('dt', 'Goes to'), h('dd', facts.functions.length ? facts.functions.map((one, n) =>
      [n > 0 && ', ', h('a', {href: `#/invocations?function=${encodeURIComponent(one)}`}, one)])
      : 'nobody'))),
    facts.letters_go_to && h('p', 'What is given up here goes to the queue ',
      h('a', {href: at(`queue/${facts.letters_go_to}`)}, facts.letters_go_to), '.'),
    h('section', {'aria-labelledby': 'dead'}, h('h2', {id: 'dead'}, 'Dead letters'),
      letters.total ? deadLetters(letters, name, facts, place, app)
        : h('p.empty', facts.dead === null ? 'This queue keeps none: it has no dead-letter.'
          : 'None. What a function cannot process, after all its attempts, is kept here.')),
    h('section', {'aria-labelledby': 'waits'}, h('h2', {id: 'waits'}, 'What waits'),
      messages.messages.length ? h('div', messages.messages.map(message))
        : h('p.empty', 'Nothing waits.'),
      messages.more && h('p.soft', 'More wait behind these.')));
}

function deadLetters({letters, total, after}, name, facts, place, app) {
  const some = () => [...chosen];
  const redrive = given => app.act(() => post(['boxes', name, 'redrive'], given),
    done => `${count(done.moved, 'dead letter')} went back to ${facts.name}.`);
  const purge = async (given, words) => {
    if (await app.confirm(`Remove ${words}?`,
      `${words[0].toUpperCase()}${words.slice(1)} of ${facts.name} will be gone for good.`, 'Remove')) {
      app.act(() => post(['boxes', name, 'purge'], given),
        done => `${count(done.purged, 'dead letter')} removed.`);
    }
  };
  const picked = chosen.size;
  return [h('div.row.tools', {role: 'group', 'aria-label': 'All, or what is chosen'},
    h('button.primary', {type: 'button', onclick: () => redrive(chosen.size ? {numbers: some()} : {all: true})},
      picked ? `Deliver ${picked} again` : `Deliver all ${total} again`),
    h('button.danger', {type: 'button', onclick: () => chosen.size
      ? purge({numbers: some()}, count(chosen.size, 'dead letter'))
      : purge({all: true}, total === 1 ? 'the dead letter' : `all ${total} dead letters`)},
    picked ? `Remove ${picked}` : 'Remove all'),
    picked > 0 && h('button', {type: 'button', onclick: () => { chosen.clear(); app.refresh(); }},
      'Choose none')),
  h('div', letters.map(one => letter(one, redrive, purge, app))),
  h('div.row.pages', place.query.after && h('a.button', {href: at(name)}, 'First'),
    after && h('a.button', {href: `${at(name)}?after=${after}`}, 'Next'))];
}

function letter(one, redrive, purge, app) {
  return h('div.letter', {'data-key': `letter-${one.number}`},
    h('label.choose', h('input', {type: 'checkbox', checked: chosen.has(one.number),
      onchange: event => {
        if (event.target.checked) chosen.add(one.number); else chosen.delete(one.number);
        app.refresh();
      }}), h('span.hidden', `Choose ${plain(one.id)}`)),
    h('details.entry', h('summary', h('span.entry-head', state('dead', REASONS[one.reason] || plain(one.reason) || 'given up'),
      h('code', brief(one.id, 48)), one.key && h('span.tag', `key ${brief(one.key, 30)}`),
      h('span.soft', one.time ? when(Date.parse(one.time) / 1000, false) : '')),
    h('span.preview', one.error ? h('span.error-text', brief(one.error, 160))
      : h('code.soft', brief(one.body.text ?? 'not text', 140)))),
    h('dl.pairs', pairs([['Function', one.function], ['Attempts', one.attempts], ['Id', one.id],
      ['Sent', when(one.sent)], ['Correlation', one.correlation],
      ['Trace', one.trace]]), pairs(Object.entries(one.attributes))),
    one.error && [h('h3', 'Error'), h('pre.code', {tabindex: '0'}, plain(one.error))],
    h('h3', 'Body'), body(one.body),
    h('div.row', h('button', {type: 'button', onclick: () => redrive({numbers: [one.number]})},
      'Deliver again'),
    h('button.danger', {type: 'button', onclick: () =>
      purge({numbers: [one.number]}, 'this dead letter')}, 'Remove'))));
}

const pairs = list => list.filter(([, value]) => value !== '' && value !== null && value !== undefined)
  .map(([name, value]) => [h('dt', plain(name)), h('dd', value instanceof Node ? value : plain(value))]);

function message(one) {
  return h('details.entry', {'data-key': `message-${one.number}`},
    h('summary', h('span.entry-head', state(one.state, one.state === 'later' ? `due in ${lasted(one.due)}` : ''),
      h('code', brief(one.id, 48)), one.key && h('span.tag', `key ${brief(one.key, 30)}`),
      one.attempts > 0 && h('span.soft', count(one.attempts, 'attempt')),
      h('span.soft', when(one.sent))),
    h('span.preview', h('code.soft', brief(one.body.text ?? 'not text', 140)))),
    h('dl.pairs', pairs([['Id', one.id], ['Kind', one.kind], ['Content type', one.content_type],
      ['Expires', one.expires && when(one.expires)]]), pairs(Object.entries(one.attributes))),
    h('h3', 'Body'), body(one.body));
}
