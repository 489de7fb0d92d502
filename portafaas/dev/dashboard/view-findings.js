// What `portafaas check` says of the application for every target.
import {h} from './dom.js';
import {get} from './server.js';
import {count, plain, state} from './words.js';

// Addresses in what the adapters say, as links.
function linked(text) {
  return plain(text).split(/(https:\/\/[\w./?#=&%~:@+-]*[\w/])/).map((part, place) => place % 2
    ? h('a', {href: part, target: '_blank', rel: 'noopener noreferrer'}, part) : part);
}

const ORDER = ['error', 'warning', 'note'];

export async function load(place, app, signal) {
  return get(['findings'], {}, signal);
}

export function render({checked, findings: found}, place) {
  const sorted = [...found].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const told = ORDER.map(word => [word, found.filter(one => one.severity === word).length])
    .filter(([, number]) => number).map(([word, number]) => count(number, word));
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Findings')),
    h('p.soft', 'What keeps the application from being the same on every target. They are looked ' +
      'for again whenever a file changes.', told.length > 0 && ` ${told.join(', ')}.`),
    sorted.length ? h('ul.findings', sorted.map((one, number) => h('li.card', {'data-key': `${number} ${one.code}`},
      h('div.entry-head', state(one.severity, one.severity), h('code', one.code),
        one.targets.map(target => h('span.tag', target)),
        one.file && h('code.soft', plain(one.file + (one.line ? `:${one.line}` : '')))),
      h('p.finding-text', linked(one.message)),
      one.path && h('p.small', h('code.soft', plain(one.path))),
      one.hint && h('p.fix', h('strong', one.hint.startsWith('https://') ? 'See: ' : 'Fix: '),
        linked(one.hint)))))
      : checked.length ? h('div.empty-state.good', h('h2', 'Nothing was found'),
        h('p', `The application can be built for ${checked.join(', ')}.`))
        : h('div.empty-state', h('h2', 'They are being looked for'),
          h('p', 'That takes some seconds after the start.')));
}
