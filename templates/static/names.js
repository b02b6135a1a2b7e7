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
}

hush();
document.addEventListener("DOMContentLoaded", hush);
new MutationObserver(hush).observe(document.documentElement, { childList: true, subtree: true });
