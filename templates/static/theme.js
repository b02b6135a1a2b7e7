// The theme before the first paint: unfold sets it when its scripts have run, and until then the page shows already.
const theme = JSON.parse(localStorage.getItem("adminTheme") ?? '"auto"');
if (theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches)) {
  document.documentElement.classList.add("dark");
}
