// The server: requests, and the feed of what happens.

export class Failure extends Error {
  constructor(status, told) {
    super(told.message);
    this.status = status;
    this.code = told.code;
    this.hint = told.hint;
    this.diagnostics = told.diagnostics || [];
  }
}

export class Lost extends Error {
  constructor() { super('The server does not answer.'); }
}

// The feed says when the server is there again: requests only report that it was not.
const feed = {source: null, wait: 500, timer: 0, state: 'connecting', hear: () => {}, told: () => {}};

function state(now) {
  if (feed.state === now) return;
  feed.state = now;
  feed.told(now);
}

async function ask(path, options) {
  let answer, value = null;
  try {
    answer = await fetch(`api/${path}`, options);
    value = await answer.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    // No answer, or a part of one.
    if (!answer || answer.ok) {
      if (feed.state === 'live') lost();
      throw new Lost();
    }
  }
  if (!answer.ok) {
    throw new Failure(answer.status, value?.error || {
      code: '', message: `the server answered with status ${answer.status}`, hint: null,
    });
  }
  return value;
}

export const path = parts => parts.map(encodeURIComponent).join('/');

export function get(parts, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== '' && value != null);
  const text = new URLSearchParams(given).toString();
  return ask(path(parts) + (text ? `?${text}` : ''), {signal});
}

export function post(parts, body = {}) {
  return ask(path(parts), {
    method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body),
  });
}

// hear(event) for each event; told('connecting' | 'live' | 'lost') when that changes.
export function listen(hear, told) {
  Object.assign(feed, {hear, told});
  open();
}

export function again() {
  clearTimeout(feed.timer);
  feed.wait = 500;
  open();
}

function open() {
  feed.source?.close();
  const source = feed.source = new EventSource('events');
  source.onopen = () => { feed.wait = 500; state('live'); };
  source.onmessage = message => {
    let event;
    try { event = JSON.parse(message.data); } catch { return; }
    feed.hear(event);
  };
  source.onerror = () => { if (feed.source === source) lost(); };
}

function lost() {
  feed.source?.close();
  state('lost');
  clearTimeout(feed.timer);
  feed.timer = setTimeout(open, feed.wait);
  feed.wait = Math.min(feed.wait * 1.6, 5000);
}
