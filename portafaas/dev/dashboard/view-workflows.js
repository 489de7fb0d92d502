// Workflows and their runs: the picture of a run, step by step, and what can be done to it.
import {h, picture} from './dom.js';
import {get, post} from './server.js';
import {at as invocation} from './view-invocations.js';
import {brief, count, json, lasted, plain, state, when} from './words.js';

export async function load(place, app, signal) {
  const [, name, run] = place.path;
  if (run !== undefined) return get(['runs', name, run], {}, signal);
  const [workflows, runs, one] = await Promise.all([get(['workflows'], {}, signal),
    get(['runs'], {workflow: name, state: place.query.state, before: place.query.before}, signal),
    name ? get(['workflows', name], {}, signal) : null]);
  return {workflows, runs, one};
}

export function render(found, place, app) {
  const [, name, run] = place.path;
  if (run !== undefined) return oneRun(found, app);
  return name ? oneFlow(found, place, app) : list(found, place);
}

const at = (...parts) => `#/workflows/${parts.map(encodeURIComponent).join('/')}`;

function list({workflows, runs}, place) {
  if (!workflows.length) {
    return h('div', h('h1', {tabindex: '-1'}, 'Workflows'), h('div.empty-state',
      h('h2', 'There are no workflows'), h('p', 'Add one under ', h('code', 'workflows:'),
        ' in portafaas.yaml: steps, choices, branches, waits and what undoes them.')));
  }
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Workflows')),
    h('div.cards-list', workflows.map(one => h('article.card', {'data-key': one.name},
      h('div.head', h('h2', h('a', {href: at(one.name)}, one.name)),
        h('a.button', {href: `${at(one.name)}?start=1`}, 'Start a run',
          h('span.hidden', ` of ${one.name}`))),
      h('p.pills', Object.entries(one.runs).filter(([, number]) => number).map(([word, number]) =>
        state(word, `${number} ${word}`)), !Object.values(one.runs).some(Boolean) &&
          h('span.soft', 'No runs yet.'))))),
    h('h2', 'Latest runs'), runList(runs, place, '#/workflows', true));
}

function runList(found, place, base, named) {
  if (!found.runs.length) {
    return h('p.empty', place.query.state ? ['No run is so. ', h('a', {href: base}, 'Show all')]
      : 'No runs yet.');
  }
  return [h('table.cards', h('thead', h('tr', h('th', {scope: 'col'}, 'State'),
    named && h('th', {scope: 'col'}, 'Workflow'), h('th', {scope: 'col'}, 'Run'),
    h('th', {scope: 'col'}, 'Where it is'), h('th', {scope: 'col'}, 'Began'),
    h('th', {scope: 'col'}, 'Took'))),
  h('tbody', found.runs.map(one => h('tr.go', {'data-key': one.run},
    h('td', state(one.waiting.length ? 'waiting' : one.state)), named && h('td', one.workflow),
    h('th', {scope: 'row'}, h('a.row-link', {href: at(one.workflow, one.run)},
      h('code', brief(one.run, 40)))),
    h('td.what', one.error ? h('span.error-text', brief(one.error, 80))
      : one.waiting.length ? `for the signal ${one.waiting.map(plain).join(', ')}`
        : one.state === 'running' ? h('span', brief(one.step || 'start', 40)) : ''),
    h('td.nowrap', when(one.started, false)),
    h('td.nowrap', one.ended ? lasted(one.ended - one.started) : h('span.soft', 'goes on')))))),
  h('div.row.pages', place.query.before && h('a.button', {href: base}, 'Newest'),
    found.before && h('a.button', {href: `${base}?before=${found.before}`}, 'Older'))];
}

function oneFlow({workflows, runs, one}, place, app) {
  const facts = workflows.find(each => each.name === one.name);
  const begin = async event => {
    event.preventDefault();
    const area = document.getElementById('input'), problem = document.getElementById('input-problem');
    let value;
    try { value = JSON.parse(area.value || 'null'); } catch (error) {
      problem.textContent = `Not JSON: ${error.message}`;
      area.focus();
      return;
    }
    problem.textContent = '';
    try {
      const made = await post(['workflows', one.name, 'start'], {input: value});
      app.tell(`Run ${made.run} begins.`, 'good');
      app.go(at(one.name, made.run));
    } catch (error) {
      problem.textContent = [error.message, error.hint].filter(Boolean).join(': ');
    }
  };
  const base = at(one.name);
  return h('div', h('p.crumbs', h('a', {href: '#/workflows'}, 'Workflows')),
    h('div.head', h('h1', {tabindex: '-1'}, one.name, ' ', h('span.what-for',
      count(Object.values(facts.runs).reduce((a, b) => a + b, 0), 'run')))),
    h('details.panel', {open: Boolean(place.query.start), 'data-keep': 'start'},
      h('summary', h('strong', 'Start a run')),
      h('form', {onsubmit: begin}, h('label.field.column', h('span', 'Its input, JSON'),
        h('textarea.code', {id: 'input', rows: 9, spellcheck: 'false',
          'aria-describedby': 'input-problem', value: JSON.stringify(one.sample, null, 2)})),
      h('p.error-text', {id: 'input-problem', role: 'alert'}),
      h('button.primary', {type: 'submit'}, 'Start'))),
    h('h2', 'Runs'), runList(runs, place, base, false),
    h('h2', 'Its steps'), h('p.soft', one.about),
    h('div.canvas.steps', {tabindex: '0', role: 'region', 'aria-label': 'Picture of the workflow; scrolls'},
      drawn(one.picture)));
}

function drawn(tree) {
  const svg = picture(tree);
  svg.querySelector('.page')?.remove();
  return svg;
}

function oneRun(run, app) {
  const going = run.state === 'running', base = ['runs', run.workflow, run.run];
  const cancel = async () => {
    if (await app.confirm('Cancel this run?',
      'It stops where it is. Nothing that it did is undone.', 'Cancel the run')) {
      app.act(() => post([...base, 'cancel']), 'The run is canceled.');
    }
  };
  const retry = async () => {
    const made = await app.act(() => post([...base, 'retry']), 'A new run with the same input begins.');
    if (made) app.go(at(run.workflow, made.run));
  };
  const facts = [['State', state(run.waiting.length ? 'waiting' : run.state)],
    ['Began', when(run.started)], run.ended ? ['Took', lasted(run.ended - run.started)] : null,
    ['Run', h('code', plain(run.run))],
    run.parent && ['Part of the run', h('code', plain(run.parent))]];
  return h('div', h('p.crumbs', h('a', {href: '#/workflows'}, 'Workflows'), ' / ',
    h('a', {href: at(run.workflow)}, run.workflow)),
  h('div.head', h('h1', {tabindex: '-1'}, 'Run of ', run.workflow),
    h('div.row', going && h('button.danger', {type: 'button', onclick: cancel}, 'Cancel the run'),
      !going && h('button.primary', {type: 'button', onclick: retry}, 'Run again'))),
  h('dl.facts', facts.filter(Boolean).map(([name, value]) => h('div', h('dt', name), h('dd', value)))),
  run.error && h('section.panel.bad', h('h2', plain(run.error)), h('p', plain(run.cause))),
  run.waiting.map(name => signal(run, name, base, app)),
  h('div.run-grid', h('section', h('h2', 'Steps'), run.picture ? h('div.canvas.steps', {tabindex: '0', role: 'region',
    'aria-label': 'Picture of the run; scrolls. What it shows is in the table below, too.'},
  drawn(run.picture)) : h('p.empty', 'Its workflow is no longer known.')),
  h('section', h('h2', 'What happened'), history(run))),
  h('div.columns', h('section', h('h2', 'Input'), json(run.input)),
    h('section', h('h2', 'Output'), run.state === 'succeeded' ? json(run.output)
      : h('p.empty', going ? 'It has not ended.' : 'None: it did not succeed.'))));
}

// Once, show the step that the run is at, or where it begins: the picture may be larger than its frame.
export function shown(main) {
  const canvas = main.querySelector('.canvas.steps');
  if (!canvas || canvas.placed) return;
  canvas.placed = true;
  const steps = [...canvas.querySelectorAll('.node')];
  const at = ['failed', 'waiting', 'running'].map(word => steps.find(node =>
    node.querySelector('.state')?.textContent.startsWith(word))).find(Boolean);
  const target = at || canvas.querySelector('.dot');
  if (!target) return;
  const frame = canvas.getBoundingClientRect(), area = target.getBoundingClientRect();
  canvas.scrollLeft += area.left + area.width / 2 - frame.left - frame.width / 2;
  if (at) canvas.scrollTop += area.top + area.height / 2 - frame.top - frame.height / 2;
}

function signal(run, name, base, app) {
  const id = `signal-${name}`;
  const hand = event => {
    event.preventDefault();
    const area = event.target.querySelector('textarea'), problem = event.target.querySelector('[role=alert]');
    let payload;
    try { payload = JSON.parse(area.value || 'null'); } catch (error) {
      problem.textContent = `Not JSON: ${error.message}`;
      area.focus();
      return;
    }
    problem.textContent = '';
    app.act(() => post([...base, 'signal'], {name, payload}), `The run has the signal ${name}.`);
  };
  return h('section.panel.busy', {'data-key': id, 'data-keep': id, 'aria-labelledby': id},
    h('h2', {id}, 'It waits for the signal ', h('code', plain(name))),
    h('form', {onsubmit: hand}, h('label.field.column', h('span', 'What the signal carries, JSON'),
      h('textarea.code', {rows: 3, spellcheck: 'false', value: name === 'approved' ? '{"yes": true}' : 'null'})),
    h('p.error-text', {role: 'alert'}), h('button.primary', {type: 'submit'}, 'Signal')));
}

// Of a call the way to its invocation, on the line that says how it ended.
function logs(run, event) {
  const call = run.calls[`${event.place} ${event.attempt}`];
  const ended = ['succeeded', 'failed', 'undone', 'undo-failed'].includes(event.what);
  return call && ended && [' ', h('a.small', {href: invocation(call.id)}, 'logs',
    h('span.hidden', ` of ${plain(event.place)}`))];
}

function history(run) {
  if (!run.history.length) return h('p.empty', 'Nothing yet.');
  return h('table.cards', h('thead', h('tr', h('th', {scope: 'col'}, 'After'),
    h('th', {scope: 'col'}, 'Step'), h('th', {scope: 'col'}, 'What'),
    h('th', {scope: 'col'}, 'Told'))),
  h('tbody', run.history.map((event, number) => h('tr', {'data-key': String(number)},
    h('td.nowrap', lasted(Math.max(0, event.time - run.started))),
    h('th', {scope: 'row'}, plain(event.place || event.step)),
    h('td.nowrap', state(event.what), logs(run, event), event.attempt > 1 && h('span.tag', `attempt ${event.attempt}`)),
    h('td.what', event.error ? h('span.error-text', brief(`${event.error}: ${event.cause}`, 160))
      : event.detail !== null && h('details', h('summary', h('span.soft', brief(event.detail, 60))),
        json(event.detail)))))));
}
