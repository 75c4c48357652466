// Which version each part of this page is of. Were a page ever put together from two versions, it would show here.
"use strict";

const VERSION = document.documentElement.dataset.version;

window.parts = { "index.html": VERSION, "scripts/parts.js": "@VERSION@" };

function isPart(path, version) {
  window.parts[path] = version;
}

// What has no code of its own, once the page has loaded.
function collectParts() {
  const version = getComputedStyle(document.documentElement).getPropertyValue("--version");
  isPart("styles/app.css", version.trim().replaceAll('"', "") || "missing");
  const banner = document.getElementById("banner");
  // An image can tell its size alone: each version's banner has another width, and the page says which is its own.
  const width = String(banner.naturalWidth);
  isPart("img/banner.svg", width === banner.dataset.width ? VERSION : `another, ${width} wide`);
}

// Loads the late parts by their plain paths, anew each time.
async function loadLate() {
  isPart("scripts/late.js", "missing");
  isPart("data/help.json", "missing");
  await new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = "scripts/late.js";
    script.onload = resolve;
    script.onerror = resolve;
    document.body.append(script);
  });
  try {
    const answer = await fetch("data/help.json");
    const help = await answer.json();
    isPart("data/help.json", help.version);
    return help.help;
  } catch (error) {
    isPart("data/help.json", `missing: ${error.message}`);
    return "There is no help now.";
  }
}
