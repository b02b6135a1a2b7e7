// Two pictures over each other: the slider says how much of the upper one is shown.
//
//   <figure data-compare> <img> <img class="compare-before"> <input type="range"> </figure>
//
// Works for what is put into the page later too. Without it the slider does nothing, and half of each is seen.

document.addEventListener("input", ({ target }) => {
  const figure = target.closest?.("[data-compare]");
  if (figure) figure.style.setProperty("--shown", `${target.value}%`);
});
