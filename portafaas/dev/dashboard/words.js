// Times, sizes, bodies and states for people.
import {h, icon} from './dom.js';

const two = number => String(number).padStart(2, '0');

// 2026-11-28 21:40:32.123 in the reader's zone, shown without today's date.
export function when(seconds, precise = true) {
  if (!seconds) return '–';
  const date = new Date(seconds * 1000), now = new Date();
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` +
    (precise ? `.${String(date.getMilliseconds()).padStart(3, '0')}` : '');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const text = date.toDateString() === now.toDateString() ? clock : `${day} ${clock}`;
  return h('time', {datetime: date.toISOString(), title: date.toString()}, text);
}

export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  // Two times of one moment of a clock that stands still may differ by less than this.
  if (seconds < 1e-5) return '0 ms';
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.95 ? 2 : 1)} s`;
  let left = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || parts.length) parts.push([count, unit]);
  }
  return parts.slice(0, 2).filter(([count]) => count).map(part => part.join(' ')).join(' ');
}

export function bytes(size) {
  if (size < 1000) return `${size} B`;
  for (const unit of ['kB', 'MB', 'GB']) {
    size /= 1000;
    if (size < 999.5) return `${size.toFixed(size < 9.95 ? 1 : 0)} ${unit}`;
  }
  return `${size.toFixed(0)} GB`;
}

export const count = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;

// Control characters, and what turns the direction of text, are shown and do nothing.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function plain(text) {
  return String(text ?? '').replace(HIDDEN, character => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

// On one line, with what is too long left out.
export function brief(value, most = 120) {
  const text = plain(typeof value === 'string' ? value : JSON.stringify(value) ?? '')
    .replace(/\s+/g, ' ');
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// JSON in colours: names, texts, numbers, words. Very long ones in one colour.
export function json(value) {
  const text = plain(JSON.stringify(value, null, 2) ?? 'null');
  return code(text, text.length < 40000);
}

function code(text, coloured) {
  const node = h('pre.code', {tabindex: '0'});
  if (!coloured) {
    node.append(text);
    return node;
  }
  const parts = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;
  let last = 0;
  for (const found of text.matchAll(parts)) {
    node.append(text.slice(last, found.index));
    const [whole, string, colon, word] = found;
    const kind = string ? (colon ? 'name' : 'string') : word ? 'word' : 'number';
    node.append(h(`span.j-${kind}`, string || whole), colon || '');
    last = found.index + whole.length;
  }
  node.append(text.slice(last));
  return node;
}

// A body as the API hands it out: {size, text | base64, cut}.
export function body(given) {
  if (!given || !given.size) return h('p.empty.small', 'Empty.');
  const cut = given.cut &&
    h('p.soft.small', `The first part of ${bytes(given.size)}; the rest is not shown.`);
  if (given.base64 !== undefined) {
    return [h('p.soft.small', `${bytes(given.size)}, not text:`), dump(given.base64), cut];
  }
  if (!given.cut) {
    try {
      const value = JSON.parse(given.text);
      if (value && typeof value === 'object') return json(value);
    } catch { /* not JSON: text */ }
  }
  return [code(plain(given.text), false), cut];
}

function dump(base64) {
  const data = atob(base64.slice(0, 1368)), lines = [];
  for (let start = 0; start < data.length; start += 16) {
    const part = [...data.slice(start, start + 16)].map(c => c.charCodeAt(0));
    lines.push(`${start.toString(16).padStart(6, '0')}  ` +
      part.map(b => b.toString(16).padStart(2, '0')).join(' ').padEnd(48) + ' ' +
      part.map(b => b > 31 && b < 127 ? String.fromCharCode(b) : '.').join(''));
  }
  const node = code(lines.join('\n'), false);
  node.classList.add('dump');
  return node;
}

const STATES = {
  ok: ['good', 'ok', 'ok'],
  error: ['bad', 'bad', 'failed'],
  again: ['warn', 'again', 'comes again'],
  dead: ['bad', 'dead', 'dead letter'],
  timeout: ['bad', 'time', 'timeout'],
  crash: ['bad', 'bad', 'crashed'],
  memory: ['bad', 'bad', 'out of memory'],
  refused: ['quiet', 'bad', 'refused'],
  running: ['busy', 'run', 'running'],
  succeeded: ['good', 'ok', 'succeeded'],
  failed: ['bad', 'bad', 'failed'],
  canceled: ['quiet', 'wait', 'canceled'],
  waiting: ['busy', 'wait', 'waiting'],
  started: ['busy', 'run', 'started'],
  caught: ['warn', 'again', 'caught'],
  undone: ['warn', 'again', 'compensated'],
  'undo-failed': ['bad', 'bad', 'compensation failed'],
  passed: ['good', 'ok', 'passed'],
  retrying: ['warn', 'again', 'tried again'],
  stopped: ['quiet', 'wait', 'stopped'],
  'not-reached': ['quiet', 'wait', 'not reached'],
  ready: ['busy', 'run', 'ready'],
  later: ['quiet', 'time', 'due later'],
  leased: ['busy', 'run', 'under way'],
  warning: ['warn', 'findings', 'warning'],
  note: ['quiet', 'findings', 'note'],
};

// A state is a colour, a shape and a word.
export function state(name, text = '') {
  const [kind, shape, word] = STATES[name] || ['quiet', 'wait', plain(name)];
  return h('span.state', {class: kind}, icon(shape), text || word);
}

export const failing = name => !['ok'].includes(name);
