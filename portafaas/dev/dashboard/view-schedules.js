// Functions with a schedule: when they fire, and "fire now".
import {h} from './dom.js';
import {get, post} from './server.js';
import {lasted, state, when} from './words.js';
import {at} from './view-invocations.js';

export async function load(place, app, signal) {
  const [schedules, clock] = await Promise.all([get(['schedules'], {}, signal),
    get(['clock'], {}, signal)]);
  return {schedules, now: clock.now};
}

export function render({schedules, now}, place, app) {
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Schedules')),
    schedules.length ? h('div.cards-list', schedules.map(one => card(one, now, app)))
      : h('div.empty-state', h('h2', 'Nothing runs by the clock'),
        h('p', 'Give a function a schedule: ',
          h('code', 'trigger: {schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}}'))));
}

function card(one, now, app) {
  const fire = () => app.act(() => post(['schedules', one.function, 'fire']),
    done => `${one.function} fires, for ${new Date(done.instant * 1000).toLocaleString()}.`);
  const [next, ...later] = one.next;
  return h('article.card', {'data-key': one.function, 'aria-labelledby': `s-${one.function}`},
    h('div.head', h('h2', {id: `s-${one.function}`},
      h('a', {href: `#/invocations?function=${encodeURIComponent(one.function)}`}, one.function)),
    h('button.primary', {type: 'button', onclick: fire}, 'Fire now',
      h('span.hidden', `: ${one.function}`))),
    h('dl.facts', h('div', h('dt', 'Cron'), h('dd', h('code', one.cron))),
      h('div', h('dt', 'Zone'), h('dd', one.timezone)),
      h('div', h('dt', 'Next'), h('dd', next ? [h('strong', `in ${lasted(Math.max(0, next - now))}`), ' ',
        h('span.soft', zoned(next, one.timezone))] : 'never')),
      h('div', h('dt', 'Last'), h('dd', one.last
        ? [state(one.last.status), ' ', h('a', {href: at(one.last.id)}, when(one.last.started, false))]
        : h('span.soft', 'not yet'))),
      one.missed && h('div', h('dt', 'Missed'), h('dd', count(one.missed.count), ' while dev was not running, last at ',
        zoned(one.missed.last, one.timezone))),
      one.waiting > 0 && h('div', h('dt', 'Waiting'), h('dd', one.waiting)),
      one.dead > 0 && h('div', h('dt', 'Dead letters'), h('dd', h('a',
        {href: `#/queues/${encodeURIComponent(`function/${one.function}`)}`}, one.dead)))),
    later.length > 0 && h('details', h('summary', 'Then'), h('ul.plain-list', later.map(moment =>
      h('li', zoned(moment, one.timezone))))));
}

// Above ten nobody counts.
function count(times) {
  return times === 1 ? 'once' : times >= 10 ? '10 times or more' : `${times} times`;
}

// An instant as the clock on the wall of the schedule's zone shows it.
function zoned(seconds, zone) {
  try {
    return new Intl.DateTimeFormat('en-GB', {timeZone: zone, weekday: 'short', day: 'numeric',
      month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short'})
      .format(new Date(seconds * 1000));
  } catch { return new Date(seconds * 1000).toISOString(); }
}
