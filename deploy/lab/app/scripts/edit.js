// A form, and the app's one server action.
"use strict";

isPart("scripts/edit.js", "@VERSION@");

async function saveItem(item) {
  const answer = await fetch("screenservices/SaveItem", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ item }),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status} ${said.error}`);
  return said;
}

screens.Edit = () => {
  // What is typed here and not saved is lost when the page is left.
  const field = element("input", { id: "item", autocomplete: "off", placeholder: "What do you need?" });
  const outcome = element("p", { id: "outcome", role: "status" });
  const form = element("form", {}, field, element("button", { id: "save" }, "Save"), outcome);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    outcome.textContent = "";
    try {
      const { saved, count } = await saveItem(field.value);
      items.push(saved);
      outcome.textContent = `Saved ${saved}, ${count} in all.`;
      form.reset();
    } catch (error) {
      outcome.textContent = `Not saved: ${error.message}`;
    }
  });
  return [element("h1", {}, "Edit"), form];
};
