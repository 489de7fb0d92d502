// The frame: navigation, the view of the address, what is live, and what is told.
import {h, icon, morph} from './dom.js';
import {Failure, Lost, again, get, listen} from './server.js';
import {plain, when} from './words.js';
import * as map from './view-map.js';
import * as invocations from './view-invocations.js';
import * as queues from './view-queues.js';
import * as send from './view-send.js';
import * as schedules from './view-schedules.js';
import * as data from './view-data.js';
import * as workflows from './view-workflows.js';
import * as findings from './view-findings.js';
import * as environment from './view-environment.js';

// Path of the address -> view, what it is called, and which kinds of events change it.
const VIEWS = [
  ['map', map, 'Map'], ['invocations', invocations, 'Invocations'], ['queues', queues, 'Queues'],
  ['send', send, 'Send and invoke'], ['schedules', schedules, 'Schedules'],
  ['data', data, 'Tables and buckets'], ['workflows', workflows, 'Workflows'],
  ['findings', findings, 'Findings'], ['environment', environment, 'Secrets and clock'],
];
// Milliseconds between two looks at what no event tells, and at least between two renderings.
const LOOK = 5000, PAUSE = 250;

const $ = id => document.getElementById(id);

export const app = {
  service: null, numbers: null, live: true, connection: 'connecting', place: null, shown: null,
  theme: null,
  // Say something to everybody, those who do not see included.
  tell(text, kind = '') {
    const told = h('p.toast', {class: kind}, plain(text));
    $('told').append(told);
    setTimeout(() => told.remove(), 7000);
  },
  // Do something that changes the server's state, say what came of it, look again.
  async act(work, done) {
    try {
      const value = await work();
      app.tell(typeof done === 'function' ? done(value) : done, 'good');
      refresh(true);
      return value;
    } catch (error) {
      app.tell(error.hint ? `${error.message} – ${error.hint}` : error.message, 'bad');
      refresh(true);
      return null;
    }
  },
  // Ask before what cannot be undone; the promise is of true or false.
  confirm(title, text, word) {
    return new Promise(resolve => {
      const close = answer => { dialog.close(); dialog.remove(); resolve(answer); back?.focus?.(); };
      const back = document.activeElement;
      const dialog = h('dialog', {'aria-labelledby': 'dialog-title', onkeydown: event => {
        if (event.key === 'Escape') { event.preventDefault(); close(false); }
      }}, h('h2', {id: 'dialog-title'}, title), h('p', text),
      h('div.row.end', h('button', {type: 'button', onclick: () => close(false)}, 'Cancel'),
        h('button.danger', {type: 'button', onclick: () => close(true)}, word)));
      document.body.append(dialog);
      dialog.showModal();
    });
  },
  go(hash) { location.hash = hash; },
  refresh: () => refresh(true),
};

// #/queues/queue%2Fpayments?x=y -> {path: [...], query: {...}}
function read() {
  const [before, after] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = before.split('/').filter(Boolean).map(part => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  const path = parts.length ? parts : ['map'];
  return {path, query: Object.fromEntries(new URLSearchParams(after || '')), hash: location.hash};
}

// Whether what is known of the service may be old.
let stale = false;
let asked = 0, loading = null, timer = 0, late = 0;

async function open() {
  const place = app.place = read();
  // Until it is there, nothing is drawn anew.
  app.shown = null;
  const entry = VIEWS.find(([name]) => name === place.path[0]);
  navigation();
  loading?.abort();
  loading = new AbortController();
  const mine = ++asked, main = $('main');
  document.body.classList.remove('open');
  const title = entry ? entry[2] : 'Not found';
  main.replaceChildren(h('h1', {tabindex: '-1'}, title), h('p.soft', 'Loading…'));
  main.setAttribute('aria-busy', 'true');
  const drawn = await draw(entry, place, loading.signal);
  if (mine !== asked) return;
  app.shown = entry;
  main.removeAttribute('aria-busy');
  main.replaceChildren(drawn);
  main.dataset.at = place.hash;
  const head = main.querySelector('h1');
  document.title = `${head?.textContent || title} · ${app.service?.service || 'portafaas dev'}`;
  if (moved) { head?.focus({preventScroll: true}); scrollTo(0, 0); }
  moved = true;
  entry?.[1].shown?.(main, app);
}
let moved = false;

async function draw(entry, place, signal) {
  if (!entry) {
    return h('div', {'data-key': 'none'}, h('h1', {tabindex: '-1'}, 'Not found'),
      h('p', 'There is no such view. ', h('a', {href: '#/map'}, 'To the map')));
  }
  try {
    if (!app.service || stale) {
      app.service = await get(['service'], {}, signal);
      stale = false;
      bar();
    }
    const value = await entry[1].load(place, app, signal);
    const node = entry[1].render(value, place, app);
    node.dataset.key = place.hash || '#/map';
    return node;
  } catch (error) {
    if (error.name === 'AbortError') return h('div');
    if (!(error instanceof Failure || error instanceof Lost)) console.error(error);
    return problem(entry[2], error);
  }
}

function problem(title, error) {
  const gone = error instanceof Lost;
  return h('div', {'data-key': 'error'}, h('h1', {tabindex: '-1'}, title),
    h('div.panel.bad', {role: 'alert'},
      h('h2', gone ? 'The server does not answer' : 'This cannot be shown'),
      h('p', gone ? 'It is tried again until it does.' : plain(error.message)),
      error.hint && h('p.soft', plain(error.hint)), error.code && h('p.soft.small', error.code),
      h('p', h('button', {type: 'button', onclick: () => open()}, 'Try again'))));
}

// Look again, at once or as soon as there was a pause; views keep focus and what is open. What
// somebody did himself (`now`) is shown also to who does not follow what happens.
function refresh(now = false) {
  if (timer) { late = Math.max(late, now ? 2 : 1); return; }
  timer = setTimeout(async () => {
    const began = performance.now();
    await Promise.all([frame(), redraw(now)]);
    timer = setTimeout(() => {
      const again = late;
      timer = late = 0;
      if (again) refresh(again === 2);
      // A store that is large or busy is asked less often.
    }, Math.max(PAUSE, 2 * (performance.now() - began)));
  }, now ? 0 : 60);
}

async function redraw(now) {
  const entry = app.shown, place = app.place, mine = asked;
  if (!entry || document.querySelector('dialog[open]')) return;
  const drawn = await draw(entry, place, undefined);
  if (!app.live && !now) return;
  // A broken connection has its banner; what was shown stays.
  if (mine !== asked || (drawn.dataset.key === 'error' && app.connection !== 'live')) return;
  const main = $('main');
  morph(main.firstElementChild, drawn);
  entry[1].shown?.(main, app);
}

async function frame() {
  try {
    app.numbers = await get(['numbers']);
  } catch { return; }
  navigation();
  bar();
}

function badge(name) {
  const found = app.numbers;
  if (!found) return null;
  if (name === 'queues' && found.dead) return ['bad', found.dead, 'dead letters'];
  if (name === 'workflows' && found.runs.running) return ['busy', found.runs.running, 'running'];
  if (name === 'findings' && found.errors) return ['bad', found.errors, 'errors'];
  if (name === 'findings' && found.warnings) return ['warn', found.warnings, 'warnings'];
  return null;
}

function navigation() {
  const here = app.place?.path[0];
  const list = h('ul', {'data-key': 'list'}, VIEWS.map(([name, , title]) => {
    const said = badge(name);
    return h('li', {'data-key': name},
      h('a', {href: `#/${name}`, 'aria-current': name === here ? 'page' : null},
        icon(name), h('span.label', title),
        said && h('span.badge', {class: said[0], title: `${said[1]} ${said[2]}`}, said[1], h('span.hidden', ` ${said[2]}`))));
  }));
  const nav = $('nav');
  if (nav.firstElementChild) morph(nav.firstElementChild, list);
  else nav.append(list);
}

function bar() {
  const {service, numbers, connection} = app;
  const words = {live: 'Live', lost: 'No connection', connecting: 'Connecting'}[connection];
  const clock = numbers?.clock;
  const dark = isDark();
  const made = h('div.bar', {'data-key': 'bar'},
    h('button.plain.menu', {type: 'button', 'aria-controls': 'nav', 'data-key': 'menu',
      'aria-expanded': String(document.body.classList.contains('open')), onclick: menu},
    icon('menu'), h('span.hidden', 'Views')),
    h('p.brand', {'data-key': 'brand'}, h('strong', service?.service || 'portafaas'),
      service?.stage && h('span.tag', service.stage),
      service?.target && h('span.tag.as', `as ${service.target}`)),
    h('div.right', {'data-key': 'right'},
      clock?.mode === 'virtual' && h('a.clock', {href: '#/environment', 'data-key': 'clock'},
        icon('time'), h('span.wide', 'clock stands at '), when(clock.now, false)),
      h('button.live', {type: 'button', 'data-key': 'live', class: connection,
        'aria-pressed': String(app.live), onclick: pause,
        title: app.live ? 'Stop following what happens' : 'Follow what happens'},
      h('span.dot'), connection === 'live' && !app.live ? 'Paused' : words),
      h('button.plain', {type: 'button', 'data-key': 'theme', onclick: theme,
        title: dark ? 'To the light theme' : 'To the dark theme'},
      icon(dark ? 'sun' : 'moon'), h('span.hidden', dark ? 'Light theme' : 'Dark theme'))));
  const at = $('bar');
  if (at.firstElementChild) morph(at.firstElementChild, made);
  else at.append(made);
}

function menu() {
  const open = document.body.classList.toggle('open');
  bar();
  if (open) $('nav').querySelector('a')?.focus();
}

function pause() {
  app.live = !app.live;
  bar();
  if (app.live) refresh(true);
}

function isDark() {
  return app.theme ? app.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function theme() {
  const wanted = isDark() ? 'light' : 'dark';
  // Back to what the system says is no theme of its own, so that it follows.
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  app.theme = wanted === system ? null : wanted;
  try {
    if (!app.theme) localStorage.removeItem('portafaas-theme');
    else localStorage.setItem('portafaas-theme', app.theme);
  } catch { /* without storage it lasts as long as the page */ }
  paint();
}

function paint() {
  if (app.theme) document.documentElement.dataset.theme = app.theme;
  else delete document.documentElement.dataset.theme;
  bar();
}

function connected(now) {
  const before = app.connection;
  app.connection = now;
  document.body.classList.toggle('offline', now === 'lost');
  bar();
  const banner = $('banner');
  if (now === 'lost' && !banner.firstElementChild) {
    banner.append(h('div.offline-note', {role: 'alert'}, icon('bad'),
      h('p', h('strong', 'The connection to portafaas dev is lost.'),
        ' What you see may be old. It is tried again by itself; is ', h('code', 'portafaas dev'),
        ' running?'),
      h('button', {type: 'button', onclick: again}, 'Try now')));
  }
  if (now === 'live') {
    banner.replaceChildren();
    if (before === 'lost') app.tell('Connected again.', 'good');
    stale = true;
    refresh(true);
  }
}

function heard(event) {
  if (event.type === 'reload') {
    stale = true;
    const [first] = event.problems || [];
    app.tell(event.ok ? 'The new code runs.'
      : `The files as they are now cannot run; the last good ones go on. ${first?.message || ''}`,
    event.ok ? 'good' : 'bad');
    for (const [, view] of VIEWS) view.forget?.();
    refresh(true);
    return;
  }
  if (!app.live || document.hidden || event.type === 'log') return;
  app.shown?.[1].heard?.(event, app);
  refresh();
}

try { app.theme = localStorage.getItem('portafaas-theme'); } catch { /* no storage */ }
if (!['dark', 'light'].includes(app.theme)) app.theme = null;
paint();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', bar);
addEventListener('hashchange', open);
addEventListener('keydown', event => {
  if (event.key === 'Escape' && document.body.classList.contains('open')) {
    document.body.classList.remove('open');
    bar();
    document.querySelector('.menu')?.focus();
  }
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && app.live) refresh(true);
});
setInterval(() => {
  if (app.live && !document.hidden && app.connection === 'live') refresh();
}, LOOK);
document.querySelector('.skip').addEventListener('click', event => {
  event.preventDefault();
  $('main').focus();
});
open();
frame();
listen(heard, connected);
