// Keeps how long ago things were fresh: `<time data-ago datetime="…" title="…">3 min ago</time>`. `data-ago="due"` is of
// what is to happen, which is never ago: it becomes `now`.
//
// The words are right as the page was drawn; this spells them anew by the steps of config/times.py. Where a live strip
// sets another `datetime`, as of a worker's heartbeat, the exact time in `title` follows.

{
  const EVERY_MS = 10000;
  // From so many seconds on, of how many one is, and what one and several are called.
  const STEPS = [
    [365 * 86400, 365 * 86400, "year", "years"],
    [31 * 86400, 30.44 * 86400, "month", "months"],
    [86400, 86400, "day", "days"],
    [3600, 3600, "h", "h"],
    [60, 60, "min", "min"],
    [1, 1, "s", "s"],
  ];

  const ago = (moment, now) => {
    const seconds = (now - moment) / 1000;
    const far = Math.floor(Math.abs(seconds));
    const step = STEPS.find(([least]) => far >= least);
    if (!step) return "now";
    const [, length, one, several] = step;
    const count = Math.max(1, Math.floor(far / length));
    const words = `${count} ${count === 1 ? one : several}`;
    return seconds > 0 ? `${words} ago` : `in ${words}`;
  };

  const exact = (moment) => {
    const day = moment.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
    return `${day}, ${moment.toISOString().slice(11, 19)} UTC`;
  };

  const freshen = (places) => {
    if (document.hidden) return;
    const now = new Date();
    for (const place of places) {
      const moment = new Date(place.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const words = ago(moment, place.dataset.ago === "due" && moment < now ? moment : now);
      // Untouched where nothing changed, so that screen readers and selections stay quiet.
      if (place.textContent !== words) place.textContent = words;
      if (place.title !== exact(moment)) place.title = exact(moment);
    }
  };
  const freshenAll = () => freshen(document.querySelectorAll("time[data-ago]"));

  setInterval(freshenAll, EVERY_MS);
  document.addEventListener("visibilitychange", freshenAll);
  document.addEventListener("console:tick", () => freshen(document.querySelectorAll("[data-moment] time[data-ago]")));
  addEventListener("pageshow", freshenAll);
}
