// Tables and buckets: rows and objects, page by page.
import {h} from './dom.js';
import {get} from './server.js';
import {body, brief, bytes, count, json, plain, when} from './words.js';

// Columns of a table besides its keys.
const COLUMNS = 6;

export async function load(place, app, signal) {
  const [, kind, name, key] = place.path;
  const {query} = place;
  if (kind === 'table') {
    return get(['tables', name], {prefix: query.prefix, after: query.after, limit: 50}, signal);
  }
  if (kind === 'bucket' && key !== undefined) return get(['buckets', name, key], {}, signal);
  if (kind === 'bucket') {
    return get(['buckets', name], {prefix: query.prefix, after: query.after, limit: 50}, signal);
  }
  const [tables, buckets] = await Promise.all([get(['tables'], {}, signal),
    get(['buckets'], {}, signal)]);
  return {tables, buckets};
}

export function render(found, place, app) {
  const [, kind, , key] = place.path;
  if (kind === 'table') return table(found, place, app);
  if (kind === 'bucket') return key === undefined ? bucket(found, place, app) : object(found);
  return list(found);
}

const at = (...parts) => `#/data/${parts.map(encodeURIComponent).join('/')}`;
const crumbs = h2 => h('p.crumbs', h('a', {href: '#/data'}, 'Tables and buckets'), h2);

function list({tables, buckets}) {
  return h('div', h('div.head', h('h1', {tabindex: '-1'}, 'Tables and buckets')),
    !tables.length && !buckets.length && h('div.empty-state', h('h2', 'Nothing is kept here'),
      h('p', 'The manifest has no tables and no buckets.')),
    tables.length > 0 && h('section', h('h2', 'Tables'), h('table.cards',
      h('thead', h('tr', h('th', {scope: 'col'}, 'Name'), h('th', {scope: 'col'}, 'Keys'),
        h('th.number', {scope: 'col'}, 'Rows'))),
      h('tbody', tables.map(one => h('tr.go', {'data-key': one.name},
        h('th', {scope: 'row'}, h('a.row-link', {href: at('table', one.name)}, one.name)),
        h('td.soft', [one.key, one.sort].filter(Boolean).join(', '),
          one.ttl && ` · expires by ${one.ttl}`),
        h('td.number', {'data-label': 'Rows'}, one.rows)))))),
    buckets.length > 0 && h('section', h('h2', 'Buckets'), h('table.cards',
      h('thead', h('tr', h('th', {scope: 'col'}, 'Name'), h('th.number', {scope: 'col'}, 'Objects'),
        h('th.number', {scope: 'col'}, 'Size'))),
      h('tbody', buckets.map(one => h('tr.go', {'data-key': one.name},
        h('th', {scope: 'row'}, h('a.row-link', {href: at('bucket', one.name)}, one.name)),
        h('td.number', {'data-label': 'Objects'}, one.objects),
        h('td.number', {'data-label': 'Size'}, bytes(one.size))))))));
}

function filter(label, place, app, base) {
  return h('form.row', {onsubmit: event => {
    event.preventDefault();
    const prefix = event.target.elements.prefix.value;
    app.go(base + (prefix ? `?prefix=${encodeURIComponent(prefix)}` : ''));
  }}, h('label.field', {'data-keep': `prefix ${place.query.prefix || ''}`}, h('span', label),
    h('input', {name: 'prefix', type: 'search', value: place.query.prefix || '', size: 16})),
  h('button', {type: 'submit'}, 'Find'));
}

function pages(found, place, base) {
  const {prefix, after} = place.query;
  const to = query => `${base}?${new URLSearchParams({...(prefix && {prefix}), ...query})}`;
  return h('div.row.pages', after && h('a.button', {href: to({})}, 'First'),
    found.after && h('a.button', {href: to({after: found.after})}, 'Next'));
}

function table(found, place, app) {
  const {key, sort} = found.table, base = at('table', found.table.name);
  const others = new Map();
  for (const one of found.rows) {
    for (const name of Object.keys(one.row || {})) {
      if (name !== key && name !== sort) others.set(name, (others.get(name) || 0) + 1);
    }
  }
  const columns = [...others].sort((a, b) => b[1] - a[1]).slice(0, COLUMNS).map(([name]) => name);
  const keys = [key, sort].filter(Boolean);
  return h('div', crumbs(), h('div.head', h('h1', {tabindex: '-1'}, found.table.name, ' ',
    h('span.what-for', count(found.total, 'row'))), filter(`${key} begins with`, place, app, base)),
  found.rows.length ? h('div.scroll', {tabindex: '0', role: 'region', 'aria-label': 'Rows'},
    h('table.data', h('thead', h('tr', [...keys, ...columns].map(name =>
      h('th', {scope: 'col'}, plain(name))), h('th', {scope: 'col'}, 'All of it'))),
    h('tbody', found.rows.map(one => h('tr', {'data-key': JSON.stringify([one.key, one.sort])},
      h('th', {scope: 'row'}, brief(one.key, 60)), sort && h('td', brief(one.sort, 40)),
      columns.map(name => h('td', cell(one.row?.[name]))),
      h('td', h('details', h('summary', bytes(one.size)),
        one.row ? json(one.row) : [h('pre.code', {tabindex: '0'}, plain(one.text)),
          h('p.soft.small', 'The first part; the rest is not shown.')])))))))
    : empty(place, base, 'rows', 'Functions that write to it put them there.'),
  pages(found, place, base));
}

function cell(value) {
  if (value === undefined) return h('span.soft', '–');
  if (value === null) return h('span.soft', 'null');
  return typeof value === 'object' ? h('code', brief(value, 60)) : brief(value, 60);
}

function empty(place, base, what, how) {
  return place.query.prefix
    ? h('div.empty-state', h('h2', `No ${what} begin so`), h('p', h('a', {href: base}, 'Show all')))
    : h('div.empty-state', h('h2', `There are no ${what} yet`), h('p', how));
}

function bucket(found, place, app) {
  const base = at('bucket', found.bucket);
  return h('div', crumbs(), h('div.head', h('h1', {tabindex: '-1'}, found.bucket, ' ',
    h('span.what-for', count(found.total, 'object'))),
  filter('Key begins with', place, app, base)),
  found.objects.length ? h('table.cards', h('thead', h('tr', h('th', {scope: 'col'}, 'Key'),
    h('th', {scope: 'col'}, 'Type'), h('th.number', {scope: 'col'}, 'Size'),
    h('th', {scope: 'col'}, 'Written'))),
  h('tbody', found.objects.map(one => h('tr.go', {'data-key': one.key},
    h('th', {scope: 'row'}, h('a.row-link', {href: at('bucket', found.bucket, one.key)},
      brief(one.key, 100)), one.own && h('span.tag', 'of portafaas')),
    h('td.soft', plain(one.content_type || '–')),
    h('td.number', {'data-label': 'Size'}, bytes(one.size)),
    h('td.nowrap', {'data-label': 'Written'}, when(one.modified, false))))))
    : empty(place, base, 'objects', 'Functions that write to it put them there.'),
  pages(found, place, base));
}

function object(found) {
  const raw = `api/buckets/${encodeURIComponent(found.bucket)}/${encodeURIComponent(found.key)}`;
  return h('div', h('p.crumbs', h('a', {href: '#/data'}, 'Tables and buckets'), ' / ',
    h('a', {href: at('bucket', found.bucket)}, found.bucket)),
  h('div.head', h('h1', {tabindex: '-1'}, brief(found.key, 200)),
    h('a.button', {href: `${raw}?download`, download: found.key.split('/').pop() || 'object'},
      'Save as a file')),
  h('dl.facts', [['Size', bytes(found.body.size)], ['Type', plain(found.content_type || 'none')],
    ['Written', when(found.modified)], ['Etag', h('code', plain(found.etag))]].map(([name, value]) =>
    h('div', h('dt', name), h('dd', value)))),
  h('section', h('h2', 'Content'), body(found.body)));
}
