// The page where a story is written: a chosen file is shown in the text field, where its outline is read from.
//
//   <input type="file" data-fills="ID">   puts the file's text into the field with that id

for (const chooser of document.querySelectorAll("[data-fills]")) {
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (!file) return;
    const field = document.getElementById(chooser.dataset.fills);
    field.value = await file.text();
    // The text is what is sent, so that it can still be mended.
    chooser.value = "";
    field.dispatchEvent(new Event("outline"));
  });
}

// Another number of pictures costs another number of credits.
for (const choice of document.querySelectorAll("[name=num_images]")) {
  choice.addEventListener("change", () => document.getElementById("id_text").dispatchEvent(new Event("outline")));
}
