// Icons of the admin are words in a font of pictures ("low_priority"), which screen readers would read out. Here they
// fall silent; a button or link that is nothing but an icon takes the word as its name, unless it has one.

const ICONS = ".material-symbols-outlined:not([aria-hidden])";

function hush() {
  for (const icon of document.querySelectorAll(ICONS)) {
    const word = icon.textContent.trim();
    const around = icon.closest("a, button");
    const isAll = around && !around.title && !around.ariaLabel && around.textContent.trim() === word;
    if (isAll) around.ariaLabel = word.replaceAll("_", " ");
    icon.ariaHidden = "true";
  }
  document.getElementById("content")?.setAttribute("role", "main");
  // Django's two-sided chooser explains itself by a span that only looks like a picture.
  for (const icon of document.querySelectorAll(".help-tooltip[aria-label]:not([role])")) icon.role = "img";
}

// On a phone a row of a wide table becomes a card: each cell says by itself which column it is of.
function label() {
  for (const table of document.querySelectorAll(".console-table")) {
    const names = [...(table.tHead?.rows[0]?.cells ?? [])].map((cell) => cell.textContent.trim());
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        for (const cell of row.cells) {
          if (cell.dataset.label === undefined) cell.dataset.label = names[cell.cellIndex] ?? "";
        }
      }
    }
  }
}

function look() {
  hush();
  label();
}

look();
document.addEventListener("DOMContentLoaded", look);
new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
