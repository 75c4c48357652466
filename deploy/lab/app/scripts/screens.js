// The screens, one at a time. The server knows none of them: below the mount, each is the app's one page.
"use strict";

isPart("scripts/screens.js", "@VERSION@");

const screens = {};
const MOUNT = "@MOUNT@";

function show() {
  const name = location.pathname.slice(MOUNT.length) || "Lists";
  const screen = Object.hasOwn(screens, name) ? name : "Lists";
  document.body.dataset.screen = screen;
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.getAttribute("href") === screen);
  }
  document.querySelector("main").replaceChildren(...screens[screen]());
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

document.querySelector("nav").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link === null) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
});
window.addEventListener("popstate", show);
