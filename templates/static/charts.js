// Redraws the desk's chart of the last hour at each tick, in the shapes of generation/admin/charts.py:
// one `rect.is-good` and one `rect.is-bad` for each minute, oldest first.

document.addEventListener("console:tick", ({ detail }) => {
  const chart = document.querySelector("[data-hour]");
  if (chart && detail.hour) draw(chart, detail.hour);
});

function draw(chart, hour) {
  const height = chart.viewBox.baseVal.height;
  const peak = Math.max(...hour.succeeded.map((good, minute) => good + hour.failed[minute]));
  const scale = height / Math.max(peak, 1);
  const good = chart.querySelectorAll(".is-good");
  const bad = chart.querySelectorAll(".is-bad");
  hour.succeeded.forEach((succeeded, minute) => {
    stand(good[minute], height - succeeded * scale, succeeded * scale);
    stand(bad[minute], height - (succeeded + hour.failed[minute]) * scale, hour.failed[minute] * scale);
  });
  const words = document.querySelector("[data-hour-peak]");
  if (words && words.textContent !== String(peak)) words.textContent = peak;
}

function stand(bar, y, height) {
  bar.setAttribute("y", y.toFixed(2));
  bar.setAttribute("height", height.toFixed(2));
}
