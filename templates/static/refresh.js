// Keeps a part of a page live: at each tick of the console, at most once a second, it is fetched anew.
//
//   <div data-refresh="?part=rows"> … </div>
//
// Ticks of checkboxes, the focus and the place of scrolling stay. The part is escaped by the server, and what is put
// in this way runs no scripts. Without ticks, or with `data-refresh=""`, it stays as it was rendered.

const PAUSE_MS = 1000;
let last = 0;
let isBusy = false;

document.addEventListener("console:tick", async () => {
  const part = document.querySelector("[data-refresh]");
  if (!part?.dataset.refresh || isBusy || document.hidden || Date.now() - last < PAUSE_MS) return;
  isBusy = true;
  try {
    const answer = await fetch(part.dataset.refresh, { credentials: "same-origin" });
    if (answer.ok) put(part, await answer.text());
  } catch {
    // The line is gone: the strip says so, and the next tick tries again.
  } finally {
    last = Date.now();
    isBusy = false;
  }
});

function put(part, html) {
  const ticked = new Set([...part.querySelectorAll("input[name=row]:checked")].map((box) => box.value));
  const held = part.contains(document.activeElement) ? document.activeElement : null;
  const key = held && (held.value ? `[value="${CSS.escape(held.value)}"]` : `[href="${CSS.escape(held.getAttribute("href") ?? "")}"]`);
  const scroll = part.querySelector(".console-scroll")?.scrollLeft ?? 0;
  part.innerHTML = html;
  for (const box of part.querySelectorAll("input[name=row]")) box.checked = ticked.has(box.value);
  if (key) part.querySelector(key)?.focus({ preventScroll: true });
  const scrolled = part.querySelector(".console-scroll");
  if (scrolled) scrolled.scrollLeft = scroll;
  const ended = part.querySelector("[data-ended]");
  if (ended) part.dataset.refresh = "";
}

document.addEventListener("change", ({ target }) => {
  if (!target.matches("[data-all-rows]")) return;
  for (const box of document.querySelectorAll("input[name=row]")) box.checked = target.checked;
});
