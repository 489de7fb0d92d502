// Secrets (whether they are set), the store's clock, and what is running.
import {h} from './dom.js';
import {get, post} from './server.js';
import {lasted, state, when} from './words.js';

const STEPS = [['1 minute', 60], ['10 minutes', 600], ['1 hour', 3600], ['1 day', 86400],
  ['1 week', 604800]];

export async function load(place, app, signal) {
  const [secrets, clock] = await Promise.all([get(['secrets'], {}, signal),
    get(['clock'], {}, signal)]);
  return {secrets, clock};
}

export function render({secrets, clock}, place, app) {
  const {service} = app;
  const advance = seconds => app.act(() => post(['clock'], {seconds}),
    `The clock is ${lasted(seconds)} further: what is due by then is delivered.`);
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Secrets and clock')),
    h('section', h('h2', 'Secrets'), secrets.length ? h('table.cards',
      h('thead', h('tr', ['Name', 'Value', 'Read by', 'How to set it'].map(word =>
        h('th', {scope: 'col'}, word)))),
      h('tbody', secrets.map(one => h('tr', {'data-key': one.name},
        h('th', {scope: 'row'}, one.name),
        h('td', one.changed ? [state('ok', 'set'), ' ',
          h('span.soft', when(Date.parse(one.changed) / 1000, false))] : state('error', 'not set')),
        h('td.soft', one.functions.join(', ') || '–'),
        h('td', h('code', `portafaas secrets set ${one.name}${service.stage ? ` --stage ${service.stage}` : ''}`))))))
      : h('p.empty', 'The manifest declares none.'),
    h('p.soft.small', 'Values are never shown here, nor sent to this page.')),
    h('section', {'aria-labelledby': 'clock'}, h('h2', {id: 'clock'}, 'Clock'),
      h('p', h('strong.big', when(clock.now, false)), ' ', h('span.soft', clock.ahead > 1
        ? `${lasted(clock.ahead)} ahead of this machine’s` : clock.ahead < -1
          ? `${lasted(-clock.ahead)} behind this machine’s` : 'as this machine’s', clock.mode === 'virtual' && ', virtual')),
      clock.mode !== 'virtual' ? h('p.soft', 'It cannot be set. With a virtual clock it stands still ' +
        'until you set it forward, and schedules, delays and attempts follow at once: ',
      h('code', 'portafaas dev --clock virtual')) : [
      h('p.soft', 'It stands still until it is set forward; what is due on the way is done, and ' +
        'schedules fire at each of their instants. It is never set back. Handlers keep the clock of this machine.'),
      h('div.row', {role: 'group', 'aria-label': 'Set the clock forward by'},
        STEPS.map(([word, seconds]) => h('button', {type: 'button', onclick: () => advance(seconds)},
          `+ ${word}`))),
      h('form.row', {onsubmit: event => {
        event.preventDefault();
        const value = Number(event.target.elements.minutes.value);
        if (value > 0) advance(value * 60);
      }}, h('label.field', {'data-keep': 'minutes'}, h('span', 'Minutes'),
        h('input', {name: 'minutes', type: 'number', min: '0.1', step: 'any', value: '30', required: true})),
      h('button', {type: 'submit'}, 'Set forward'))]),
    h('section', h('h2', 'What is running'), h('dl.facts', [['Service', service.service],
      service.stage && ['Stage', service.stage], ['As', service.target || 'local, neutral semantics'],
      ['Address', h('code', service.url)], ['portafaas', service.version],
      ['Functions', service.functions.length]].filter(Boolean)
      .map(([name, value]) => h('div', h('dt', name), h('dd', value))))));
}
