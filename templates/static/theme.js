// The theme before the first paint: unfold sets it when its scripts have run, and until then the page shows already.
{
  const chosen = JSON.parse(localStorage.getItem("adminTheme") ?? '"auto"');
  const isDark = chosen === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
  const root = document.documentElement.classList;
  root.toggle("dark", isDark);
  // Unfold takes away only what it has put there itself.
  addEventListener("alpine:init", () => root.remove("dark"));
}
