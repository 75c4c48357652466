// What this page is made of. Its help is a part that is loaded late.
"use strict";

isPart("scripts/about.js", "@VERSION@");

screens.About = () => {
  const help = element("p", { id: "help" });
  const more = element("button", { id: "more" }, "Help");
  const rows = () => Object.entries(window.parts).map(([path, version]) => element("li", {}, `${path}: ${version}`));
  const list = element("ul", { id: "parts" }, ...rows());
  more.addEventListener("click", async () => {
    help.textContent = "";
    const text = await loadLate();
    list.replaceChildren(...rows());
    help.textContent = text;
  });
  return [element("h1", {}, "About"), list, more, help];
};
