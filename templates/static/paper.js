// Buttons of the pages one takes along: copy a text, print a page. Without scripts they stay hidden.
//
//   <pre id="text"> … </pre> <button data-copy="text" hidden>Copy</button>
//   <button data-print hidden>Print</button>

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// Browsers let pages copy over https and on the machine itself only.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const word = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = word; }, 2000);
    });
  }
}
