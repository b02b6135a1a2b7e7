// The console's live strip: one socket to /ws/console by the session cookie, for the page's figures.
//
// The page is right as it was rendered; this only keeps it moving. Figures are named by their path in a tick
// (docs/live.md):
//
//   <section data-console>
//     <b data-figure="queue.waiting">12</b>
//     <b data-figure="last_minute.failed">0</b>
//     <tr data-lane="provider_d"><td data-figure="in_flight">3</td><td data-figure="state">flowing</td></tr>
//     <p data-console-state></p>            shows live, missed ticks, or that the figures stand still
//   </section>
//
// Inside `data-lane` (and `data-worker`) paths begin at that lane (that worker); its `state` also becomes the
// element's data-state, for colour. `data-width="load"` sets the width of a bar in an SVG, `data-state-of="day.health"`
// the data-state of any element, `data-moment="heartbeat"` the datetime of the <time> inside (times.js spells it).
// Every tick is dispatched on `document` as `console:tick` for what needs more, every change of the connection as
// `console:state`.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
// Without a tick for this long the figures stand still, whatever the socket says.
const SILENT_MS = 5000;
// After that much more the network has silently gone: begin anew.
const GONE_MS = 10000;
const FINAL_CODES = new Set([4401, 4403]);
// A gap in the numbers stays visible for this many ticks.
const GAP_SHOWN_TICKS = 20;

let socket = null;
let failures = 0;
let pauseTimer = 0;
let silence = 0;
let last = null; // { ticker, tick }
let missed = 0;
let showGapFor = 0;

function connect() {
  pauseTimer = 0;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(`${scheme}//${location.host}/ws/console`);
  socket = mine;
  mine.onmessage = (message) => {
    const tick = JSON.parse(message.data);
    if (tick.type === "tick") take(tick);
  };
  mine.onclose = (end) => mine === socket && lost(end.code);
  listen();
}

function take(tick) {
  failures = 0;
  if (last?.ticker === tick.ticker) {
    if (tick.tick <= last.tick) return;
    missed = tick.tick - last.tick - 1;
    if (missed) showGapFor = GAP_SHOWN_TICKS;
  }
  last = tick;
  for (const strip of document.querySelectorAll("[data-console]")) show(strip, tick);
  dispatch("console:tick", tick);
  if (showGapFor > 0) {
    showGapFor -= 1;
    tell("gap", missed ? `Live; ${missed} ${missed === 1 ? "tick" : "ticks"} missed` : "Live; ticks were missed");
  } else {
    tell("live", "Live");
  }
  listen();
}

function show(strip, tick) {
  const named = {
    lane: new Map(tick.lanes.map((lane) => [lane.name, lane])),
    worker: new Map((tick.workers ?? []).map((worker) => [worker.name, worker])),
  };
  for (const place of strip.querySelectorAll("[data-lane], [data-worker]")) {
    const kind = place.dataset.lane === undefined ? "worker" : "lane";
    const state = named[kind].get(place.dataset[kind])?.state;
    if (state !== undefined) place.dataset.state = state;
  }
  const valueAt = (place, path) => {
    const around = place.closest("[data-lane], [data-worker]");
    const kind = around?.dataset.lane === undefined ? "worker" : "lane";
    return read(around ? named[kind].get(around.dataset[kind]) : tick, path);
  };
  for (const place of strip.querySelectorAll("[data-figure]")) {
    const value = valueAt(place, place.dataset.figure);
    if (value !== undefined) write(place, value);
  }
  for (const place of strip.querySelectorAll("[data-width]")) {
    place.setAttribute("width", valueAt(place, place.dataset.width) ?? 0);
  }
  for (const place of strip.querySelectorAll("[data-moment]")) {
    const moment = valueAt(place, place.dataset.moment);
    const time = place.querySelector("time");
    if (moment && time) time.dateTime = moment;
  }
  for (const place of strip.querySelectorAll("[data-state-of]")) {
    place.dataset.state = valueAt(place, place.dataset.stateOf) ?? "";
  }
}

function read(from, path) {
  return path.split(".").reduce((value, name) => value?.[name], from);
}

function write(place, value) {
  const text = value === null ? "–" : String(value);
  // Untouched where nothing changed, so that screen readers and selections stay quiet.
  if (place.textContent !== text) place.textContent = text;
}

function listen() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    tell("still", "The figures stand still");
    silence = setTimeout(giveUp, GONE_MS);
  }, SILENT_MS);
}

function giveUp() {
  if (!socket) return;
  socket.onclose = socket.onmessage = null;
  socket.close();
  lost(1006);
}

function lost(code) {
  clearTimeout(silence);
  socket = null;
  if (FINAL_CODES.has(code)) {
    tell("closed", "Not live: reload the page to sign in again");
    return;
  }
  tell("waiting", "Connection lost, trying again …");
  const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  failures += 1;
  pauseTimer = setTimeout(connect, most / 4 + Math.random() * most * 0.75);
}

function tell(state, text) {
  for (const place of document.querySelectorAll("[data-console-state]")) {
    place.dataset.consoleState = state;
    write(place, text);
  }
  dispatch("console:state", { state, text });
}

function dispatch(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

addEventListener("online", () => {
  if (!socket && pauseTimer) {
    clearTimeout(pauseTimer);
    connect();
  }
});
addEventListener("pagehide", () => {
  clearTimeout(pauseTimer);
  clearTimeout(silence);
  if (!socket) return;
  socket.onclose = null;
  socket.close();
  socket = null;
});
addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("[data-console]")) connect();
});

if (document.querySelector("[data-console]")) connect();
