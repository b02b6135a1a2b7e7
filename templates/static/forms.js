// What the forms of the MakeIt3D door gain with JavaScript: a slider says its value, a chosen file is shown, a mask is
// painted over its picture, a sketch is drawn. What is drawn is brought like any other file.
//
//   <input type="range" id="ID"> <output for="ID">
//   <fieldset data-source="mask">     hears `chosen` when a file was brought, or one of one's own was chosen
//     <input type="file"> <button data-draw hidden>
//     <div popover> <input type="radio"> … </div>

const WIDEST = 1024;
const STROKE = { mask: 0.06, sketch: 0.008 };
const PAPER = { mask: "#000", sketch: "#fff" };
const INK = { mask: "#fff", sketch: "#111" };

document.addEventListener("input", ({ target }) => {
  if (target.type !== "range") return;
  for (const said of document.querySelectorAll(`output[for="${CSS.escape(target.id)}"]`)) said.textContent = target.value;
});

// With the arrow keys one goes through the files: it is chosen when the list is closed. A click closes it.
let isPointed = false;
addEventListener("pointerdown", () => { isPointed = true; }, true);
addEventListener("keydown", () => { isPointed = false; }, true);

document.addEventListener("change", ({ target }) => {
  const place = target.closest?.("[data-source]");
  if (!place) return;
  if (target.type === "file") place.dispatchEvent(new CustomEvent("chosen"));
  else if (isPointed) target.closest("[popover]").hidePopover();
});

// It does not bubble.
document.addEventListener("toggle", ({ target, newState }) => {
  const place = target.closest?.("[data-source]");
  if (!place || !target.matches("[popover]")) return;
  const value = target.querySelector("input:checked")?.value ?? "";
  if (newState === "open") target.dataset.before = value;
  else if (target.dataset.before !== value) place.dispatchEvent(new CustomEvent("chosen"));
}, true);

function offer() {
  for (const button of document.querySelectorAll("[data-draw][hidden]")) button.hidden = false;
}
offer();
document.addEventListener("htmx:load", offer);

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-draw]");
  if (button) open(button.closest("[data-source]"));
});

function open(place) {
  const kind = place.dataset.source;
  const below = kind === "mask" ? document.querySelector("[data-picture]:not([data-source=mask] *)") : null;
  if (kind === "mask" && !below) {
    tell(place, "Choose the picture first; the mask is painted over it.");
    return;
  }
  const size = below ? measured(below) : { width: WIDEST, height: WIDEST };
  const board = easel(kind, below, size);
  document.body.append(board.dialog);
  board.dialog.addEventListener("close", () => board.dialog.remove());
  board.done.addEventListener("click", () => {
    board.sheet.toBlob((blob) => {
      board.dialog.close();
      bring(place, new File([blob], `${kind}.png`, { type: "image/png" }));
    });
  });
  board.dialog.showModal();
}

// What is shown may be a small one; a mask has to be as large as the picture itself.
function measured(picture) {
  return { width: Number(picture.dataset.width), height: Number(picture.dataset.height) };
}

function easel(kind, below, { width, height }) {
  const dialog = document.createElement("dialog");
  dialog.className = "easel-dialog";
  dialog.setAttribute("aria-label", kind === "mask" ? "Paint what is to change" : "Draw a sketch");
  const sheet = document.createElement("canvas");
  Object.assign(sheet, { width, height });
  const brush = sheet.getContext("2d");
  wipe(brush, kind);
  const desk = document.createElement("div");
  desk.className = `easel-desk ${kind}`;
  if (below) {
    const picture = new Image();
    picture.src = below.src;
    picture.alt = "";
    desk.append(picture);
  }
  desk.append(sheet);
  desk.style.setProperty("aspect-ratio", `${width} / ${height}`);
  const [done, again, away] = ["Take it", "Begin again", "Leave it"].map((words, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = at ? "button plain" : "button";
    button.textContent = words;
    return button;
  });
  again.addEventListener("click", () => wipe(brush, kind));
  away.addEventListener("click", () => dialog.close());
  const row = document.createElement("div");
  row.className = "actions";
  row.append(done, again, away);
  dialog.append(desk, row);
  draw(sheet, brush, kind);
  return { dialog, sheet, done };
}

function wipe(brush, kind) {
  brush.fillStyle = PAPER[kind];
  brush.fillRect(0, 0, brush.canvas.width, brush.canvas.height);
}

function draw(sheet, brush, kind) {
  let last = null;
  const at = (event) => {
    const box = sheet.getBoundingClientRect();
    return [((event.clientX - box.left) * sheet.width) / box.width, ((event.clientY - box.top) * sheet.height) / box.height];
  };
  const line = (event) => {
    const now = at(event);
    brush.strokeStyle = INK[kind];
    brush.lineWidth = Math.max(sheet.width, sheet.height) * STROKE[kind];
    brush.lineCap = brush.lineJoin = "round";
    brush.beginPath();
    brush.moveTo(...(last ?? now));
    brush.lineTo(...now);
    brush.stroke();
    last = now;
  };
  sheet.addEventListener("pointerdown", (event) => {
    sheet.setPointerCapture(event.pointerId);
    last = null;
    line(event);
  });
  sheet.addEventListener("pointermove", (event) => sheet.hasPointerCapture(event.pointerId) && line(event));
}

function bring(place, file) {
  const chooser = place.querySelector("input[type=file]");
  const files = new DataTransfer();
  files.items.add(file);
  chooser.files = files.files;
  chooser.dispatchEvent(new Event("change", { bubbles: true }));
}

function tell(place, text) {
  let said = place.querySelector("[role=alert]");
  if (!said) {
    said = document.createElement("p");
    said.className = "fault";
    said.setAttribute("role", "alert");
    place.append(said);
  }
  said.textContent = text;
}
