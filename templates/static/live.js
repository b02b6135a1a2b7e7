// The owner's live connection: one socket to /ws/live by the session cookie, for everything on the page.
//
//   <body data-live>                      follow all of one's own requests
//   <main data-live="REQUEST">            follow one (its uuid or public id)
//   <span data-live-state></span>         shows the connection's state; aria-live is the page's own choice
//
// What happens is dispatched on `document`:
//
//   live:document   detail is a `snapshot` or `event` message of docs/live.md, in order of seq per request
//   live:state      detail.state is connecting, live, waiting (for the next try) or closed (sign in again)
//   live:problem    detail is an `error` message
//
// The socket comes back by itself, with growing, jittered pauses; it then asks for what was missed. A page that
// needs more than the attributes imports `follow`, `unfollow` and `seqOf`.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30000;
const PING_MS = 25000;
const ANSWER_MS = 10000;
// Codes after which coming back would change nothing: who are you, not from there.
const FINAL_CODES = new Set([4401, 4403]);
const WORDS = {
  connecting: "Connecting …",
  live: "Live",
  waiting: "Connection lost, trying again …",
  closed: "Not connected. Reload the page to sign in again.",
};

const seqs = new Map(); // request uuid -> highest seq seen
const names = new Map(); // followed name -> request uuid, once known
let followsAll = false;
let socket = null;
let failures = 0;
let pauseTimer = 0;
let pingTimer = 0;
let answerTimer = 0;

/** Follow a request by its uuid or public id, or without one all of one's own. */
export function follow(request = null) {
  if (request) names.set(request, names.get(request) ?? null);
  else followsAll = true;
  if (socket?.readyState === WebSocket.OPEN) subscribe(request);
  else if (!socket) connect();
}

/** Follow it no longer. */
export function unfollow(request) {
  names.delete(request);
  if (socket?.readyState === WebSocket.OPEN) send({ type: "unsubscribe", request });
}

/** The highest seq seen of a request, or undefined. */
export function seqOf(uuid) {
  return seqs.get(uuid);
}

function connect() {
  clearTimeout(pauseTimer);
  tell("connecting");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(`${scheme}//${location.host}/ws/live`);
  socket = mine;
  mine.onopen = () => {
    if (followsAll) subscribe(null);
    for (const name of names.keys()) subscribe(name);
    pingTimer = setInterval(ping, PING_MS);
  };
  mine.onmessage = (message) => {
    clearTimeout(answerTimer);
    answerTimer = 0;
    take(JSON.parse(message.data));
  };
  mine.onclose = (end) => mine === socket && lost(end.code);
}

function subscribe(name) {
  const seq = name ? seqs.get(names.get(name) ?? name) : undefined;
  // All of one's own starts with snapshots: they make up for whatever was missed.
  send({ type: "subscribe", ...(name && { request: name }), ...(seq !== undefined && { last_seq: seq }) });
}

function take(message) {
  if (message.type === "snapshot" || message.type === "event") {
    const seen = seqs.get(message.request);
    for (const name of [message.public_id, ...message.items.map((item) => item.id)]) {
      if (name && names.has(name)) names.set(name, message.request);
    }
    // The same seq may come again as a snapshot after a reconnect; what is older is not news.
    if (seen !== undefined && (message.seq < seen || (message.seq === seen && message.type === "event"))) return;
    seqs.set(message.request, message.seq);
    dispatch("live:document", message);
  } else if (message.type === "subscribed") {
    failures = 0;
    tell("live");
  } else if (message.type === "error") {
    if (message.code === "NOT_FOUND") names.delete(message.request);
    dispatch("live:problem", message);
  }
}

function lost(code) {
  clearInterval(pingTimer);
  clearTimeout(answerTimer);
  answerTimer = 0;
  socket = null;
  if (FINAL_CODES.has(code)) {
    tell("closed");
    return;
  }
  tell("waiting");
  // Full jitter: a server that comes back is not met by everybody at once.
  const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
  failures += 1;
  pauseTimer = setTimeout(connect, most / 4 + Math.random() * most * 0.75);
}

function ping() {
  send({ type: "ping" });
  // A network that has silently gone answers nothing: do not wait for TCP to notice.
  answerTimer ||= setTimeout(() => giveUp(socket), ANSWER_MS);
}

function giveUp(dead) {
  if (!dead || dead !== socket) return;
  dead.onclose = dead.onmessage = null;
  dead.close();
  lost(1006);
}

function send(message) {
  socket.send(JSON.stringify(message));
}

function tell(state) {
  for (const place of document.querySelectorAll("[data-live-state]")) {
    place.dataset.liveState = state;
    place.textContent = WORDS[state];
  }
  dispatch("live:state", { state });
}

function dispatch(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

// Waking up, coming back online: do not sit out the pause.
function hurry() {
  if (!socket && pauseTimer && document.visibilityState === "visible") connect();
}
addEventListener("online", hurry);
document.addEventListener("visibilitychange", hurry);
// A page in the back/forward cache keeps no socket, and begins anew when it is shown again.
addEventListener("pagehide", () => {
  clearTimeout(pauseTimer);
  if (!socket) return;
  clearInterval(pingTimer);
  clearTimeout(answerTimer);
  answerTimer = 0;
  socket.onclose = null;
  socket.close();
  socket = null;
});
addEventListener("pageshow", (event) => {
  if (event.persisted && !socket && (followsAll || names.size)) connect();
});

for (const place of document.querySelectorAll("[data-live]")) follow(place.dataset.live || null);
