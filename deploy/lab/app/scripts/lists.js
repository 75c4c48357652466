"use strict";

isPart("scripts/lists.js", "@VERSION@");

const items = ["Milk", "Apples"];

screens.Lists = () => [
  element("h1", {}, "Lists"),
  element("ul", { id: "items" }, ...items.map((item) => element("li", {}, item))),
];
