// The little that HTML and htmx don't do. Every page works without it, up to an order's end.
"use strict";

(() => {
  // A form marked data-once is sent once; its key makes even that a courtesy, not a safeguard.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const pressed = event.submitter;
    // After this turn, so that the button's own name and value still travel with the form.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      if (pressed && pressed.dataset.busy) {
        pressed.classList.add("busy");
        pressed.textContent = pressed.dataset.busy;
      }
    });
  });

  // The link to the checkout takes along what was chosen already.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-carry]");
    if (!link) return;
    const chosen = new FormData(link.closest("form"));
    const address = new URL(link.href);
    for (const name of ["quantity", "payment_method"]) address.searchParams.set(name, chosen.get(name));
    link.href = address.href;
  });

  // Back to a page that was kept alive: its key is used up and its numbers are old.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("[data-once]")) window.location.reload();
  });

  // The page's language, by the habits of the visitor's country where the browser knows one that speaks it.
  const page = document.documentElement.lang;
  const language = navigator.languages.find((one) => one.split("-")[0] === page) || page;

  const clock = new Intl.DateTimeFormat(language, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23", // as on a till's receipt
  });
  const day = new Intl.DateTimeFormat(language, {
    dateStyle: "medium",
    timeStyle: "short",
    hourCycle: "h23",
  });

  const localTimes = () => {
    for (const element of document.querySelectorAll("time[data-local]")) {
      const format = element.dataset.local === "day" ? day : clock;
      element.textContent = format.format(new Date(element.dateTime));
      element.removeAttribute("data-local");
    }
  };

  // The checkout's total follows the quantity. Without this the next page tells it.
  const addUp = () => {
    const sum = document.querySelector("[data-total]");
    const quantity = document.querySelector("input[name=quantity]");
    if (!sum || !quantity) return;
    const money = new Intl.NumberFormat(page, { style: "currency", currency: sum.dataset.currency });
    const digits = money.resolvedOptions().maximumFractionDigits;
    const amount = (Number(sum.dataset.priceMinor) * Number(quantity.value)) / 10 ** digits;
    sum.querySelector("output").textContent = money.format(amount);
    sum.hidden = !quantity.checkValidity();
  };

  document.addEventListener("input", addUp);
  document.addEventListener("DOMContentLoaded", addUp);

  const twoDigits = (number) => String(number).padStart(2, "0");

  const countDown = () => {
    for (const element of document.querySelectorAll("[data-until]")) {
      if (!element.dataset.skew) element.dataset.skew = String(Date.now() - Date.parse(element.dataset.now));
      const left = Date.parse(element.dataset.until) - (Date.now() - Number(element.dataset.skew));
      const seconds = Math.max(0, Math.ceil(left / 1000));
      element.textContent = `${Math.floor(seconds / 60)}:${twoDigits(seconds % 60)}`;
    }
  };

  // The order's progress is told by a live region that stays where it is while the rest is swapped around it.
  const announce = () => {
    const order = document.querySelector("[data-announce]");
    const region = document.getElementById("order-live");
    if (!order || !region) return;
    if (region.textContent !== order.dataset.announce) region.textContent = order.dataset.announce;
    document.title = order.dataset.title;
  };

  const refresh = () => {
    localTimes();
    countDown();
    announce();
  };

  // The order goes on whether or not this page can reach the shop; say so instead of standing still.
  const reachable = (yes) => {
    const note = document.getElementById("order-offline");
    if (note) note.hidden = yes;
  };

  document.addEventListener("htmx:sendError", () => reachable(false));
  document.addEventListener("htmx:responseError", () => reachable(false));
  document.addEventListener("htmx:beforeOnLoad", (event) => reachable(event.detail.xhr.status < 400));

  document.addEventListener("DOMContentLoaded", refresh);
  document.addEventListener("htmx:afterSettle", refresh);
  setInterval(countDown, 1000);
})();
