// What the warehouse's screens do beyond HTML. Without it they work too, a page at a time.
"use strict";

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

for (const box of document.querySelectorAll("[data-all]")) {
  box.addEventListener("change", () => {
    for (const one of box.closest("form").querySelectorAll("input[name=order]")) one.checked = box.checked;
  });
}

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

  const ask = async (number, body) => {
    try {
      const headers = { "X-Scanned": "yes" };
      const reply = await fetch(form.action, { method: "POST", body, headers, redirect: "error" });
      if (!reply.ok) throw new Error(reply.status);
      show(await reply.text());
      const box = document.querySelector(`input[name=order][value="${CSS.escape(number.toUpperCase())}"]`);
      if (box && answers.firstElementChild.classList.contains("ops-success")) box.closest("tr").remove();
    } catch {
      failed(number);
    }
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
