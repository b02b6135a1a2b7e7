// Keeps the customer's pages in step with `live:document` (live.js). Bars move from the message itself; where a
// state changed, the server's own fragment is fetched again, so that a page never spells anything by itself.
//
//   <div data-fragment="URL">              fetched anew when something inside it no longer holds
//     <li data-request="UUID" data-status="running">  <progress data-bar>
//     <article data-item="ID" data-status="running">  <progress data-bar> <span data-percent>
//   <div data-fragment="URL" data-shows="open">   also fetched when an open request appears that it does not show
//   <div data-fragment="URL" data-shows="steps">  also fetched when a step of something inside it begins or ends
//   <p id="said" aria-live="polite">       hears what ended
//
// After a connection was lost, everything is fetched anew: what the page shows may be older than what is told again.
// A fetch that fails is made up for as soon as the connection is back.

const ENDS = { succeeded: "The picture is ready.", failed: "The request failed.", cancelled: "The request was cancelled." };
const OPEN = ["queued", "running"];
const STEPS = ["started", "step", "retrying"];

const fetching = new Map(); // fragment -> whether it is stale again already
const missed = new Set(); // fragments that could not be fetched
let wasLost = false;
// Items seen open: their end is said once, also when a fragment that was fetched meanwhile shows it already.
const unsaid = new Set();
for (const place of document.querySelectorAll("[data-item]")) {
  if (!ENDS[place.dataset.status]) unsaid.add(place.dataset.item);
}

document.addEventListener("live:document", ({ detail }) => {
  const stale = new Set();
  let isShown = false;
  for (const place of find("data-request", detail.request)) {
    isShown = true;
    step(place, detail.progress);
    if (place.dataset.status !== detail.status) stale.add(fragmentOf(place));
  }
  for (const item of detail.items) {
    for (const place of find("data-item", item.id)) {
      isShown = true;
      if (!ENDS[item.status]) unsaid.add(item.id);
      else if (unsaid.delete(item.id)) say(ENDS[item.status]);
      if (place.dataset.status === item.status) step(place, item.progress);
      else stale.add(fragmentOf(place));
    }
  }
  if (!isShown && OPEN.includes(detail.status)) {
    for (const place of document.querySelectorAll("[data-shows=open]")) stale.add(place);
  }
  if (detail.events?.some((event) => STEPS.includes(event.kind))) {
    for (const place of document.querySelectorAll("[data-shows=steps]")) stale.add(place);
  }
  for (const place of stale) if (place) refresh(place);
});

function find(attribute, value) {
  return document.querySelectorAll(`[${attribute}="${CSS.escape(value)}"]`);
}

function fragmentOf(place) {
  return place.closest("[data-fragment]");
}

function step(place, progress) {
  const bar = place.querySelector("[data-bar]");
  // A snapshot may be a little older than the page: a bar falls back only when its page is drawn anew.
  if (!bar || progress <= bar.value) return;
  bar.value = progress;
  bar.textContent = `${progress} %`;
  const percent = place.querySelector("[data-percent]");
  if (percent) percent.textContent = `${progress} %`;
}

async function refresh(place) {
  if (fetching.has(place)) {
    fetching.set(place, true);
    return;
  }
  fetching.set(place, false);
  missed.delete(place);
  try {
    await htmx.ajax("GET", place.dataset.fragment, { target: place, swap: place.dataset.swap ?? "innerHTML" });
  } catch {
    missed.add(place); // the line is gone: the page says so
  }
  const again = fetching.get(place);
  fetching.delete(place);
  if (again && place.isConnected && !missed.has(place)) refresh(place);
}

document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.target?.dataset.fragment) missed.add(detail.target);
});

document.addEventListener("live:state", ({ detail }) => {
  document.body.classList.toggle("is-cut-off", detail.state === "waiting" || detail.state === "closed");
  if (detail.state === "waiting" || detail.state === "closed") wasLost = true;
  if (detail.state !== "live") return;
  // A part within a part comes with it.
  const stale = wasLost ? document.querySelectorAll("[data-fragment]:not([data-fragment] [data-fragment])") : [...missed];
  wasLost = false;
  for (const place of stale) if (place.isConnected) refresh(place);
});
// The page was put away whole and is shown again: its connection had been closed on purpose.
addEventListener("pageshow", (event) => {
  if (event.persisted) wasLost = true;
});

function say(text) {
  const said = document.getElementById("said");
  if (said) said.textContent = text;
}
