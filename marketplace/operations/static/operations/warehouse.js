// What the warehouse's screens do beyond HTML. Without it they work too, a page at a time.
"use strict";

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

document.addEventListener("change", ({ target: box }) => {
  if (!box.matches("[data-all]")) return;
  for (const one of box.closest("form").querySelectorAll("input[name=order]")) one.checked = box.checked;
});

// Scanners type a number and press Enter, and the next may come before the answer: each is taken out of the field at
// once, asked for one after the other, and answered on top of the others. Several numbers at once make a batch, with a
// page of its own: they go the usual way. Whatever was clicked meanwhile, what the scanner types ends up in the field.
const form = document.querySelector("[data-scan]");
if (form) {
  const field = form.elements.names;
  const answers = document.querySelector("[data-answers]");
  let last = Promise.resolve();

  field.focus();
  document.addEventListener("keydown", (event) => {
    if (event.target === document.body && event.key.length === 1 && !event.ctrlKey && !event.metaKey) field.focus();
  });

  const show = (html) => {
    answers.insertAdjacentHTML("afterbegin", html);
    while (answers.children.length > 20) answers.lastElementChild.remove();
  };

  const failed = (number) => {
    const line = document.createElement("p");
    line.className = "ops-answer ops-danger";
    const name = document.createElement("strong");
    name.textContent = `${number}: nobody knows`;
    const said = document.createElement("span");
    said.textContent = " The shop did not answer. Scan it again: that does no harm.";
    line.append(name, said);
    answers.prepend(line);
  };

  // What is packed is off the list and counted no more; when all that was shown is, what waits now is shown.
  const forget = async (number) => {
    const waiting = document.querySelector("[data-waiting]");
    const row = waiting.querySelector(`input[name=order][value="${CSS.escape(number ?? "")}"]`)?.closest("tr");
    if (!row) return;
    row.remove();
    for (const count of waiting.querySelectorAll("[data-counted]")) count.textContent -= 1;
    if (waiting.querySelector("input[name=order]")) return;
    const page = new DOMParser().parseFromString(await (await fetch(form.action)).text(), "text/html");
    waiting.replaceWith(page.querySelector("[data-waiting]"));
  };

  const ask = async (number, body) => {
    try {
      const headers = { "X-Scanned": "yes" };
      const reply = await fetch(form.action, { method: "POST", body, headers, redirect: "error" });
      if (!reply.ok) throw new Error(reply.status);
      show(await reply.text());
    } catch {
      failed(number);
      return;
    }
    await forget(answers.firstElementChild.dataset.packed).catch(() => {}); // a list that is not shown anew is no harm
  };

  form.addEventListener("submit", (event) => {
    const number = field.value.trim();
    if (!number || /[\s,;]/.test(number)) return;
    event.preventDefault();
    const body = new FormData(form);
    form.reset();
    field.value = "";
    field.focus();
    last = last.then(() => ask(number, body));
  });
}
