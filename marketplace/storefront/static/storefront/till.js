// Paying by the payment provider's own script: Stripe's Payment Element, or PayPal's buttons. What is secret goes from
// the provider's fields to the provider; this shop is handed a token, or hears that the buyer has been there.
"use strict";

(() => {
  const AGAIN_MS = 400;
  const PATIENCE_MS = 30000;
  let occupied = false; // the buyer is in the provider's window: the page must not be swapped from under it

  const say = (root, words) => {
    const line = root.querySelector("[data-trouble]");
    line.textContent = words;
    line.hidden = !words;
  };

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const csrf = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;

  // Word that the buyer has been at the provider's. If it gets lost, the provider's webhook says the same later.
  const wasThere = async (order) => {
    try {
      await fetch(`${order}/look`, { method: "POST", headers: { "X-CSRFToken": csrf() } });
    } catch {
      // as above
    }
  };

  // What the provider's script needs for this order, once our server has asked the provider for the payment.
  const needed = async (order) => {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
      const reply = await fetch(`${order}/confirmation`, { headers: { Accept: "application/json" } });
      if (reply.ok) {
        const said = await reply.json();
        if (said.state === "ready") return said;
        if (said.state === "over") break;
      }
      await pause(AGAIN_MS);
    }
    throw new Error("There is nothing to confirm.");
  };

  const look = () => {
    const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
    return dark
      ? { theme: "night", variables: { colorPrimary: "#5fd39b", borderRadius: "12px" } }
      : { theme: "stripe", variables: { colorPrimary: "#0b5f42", borderRadius: "12px" } };
  };

  // --- Stripe -------------------------------------------------------------------------------------------------------

  // A token is made when the form is sent, and the form is sent again with it. The same token goes along when it is
  // pressed once more because an answer got lost: with the form's key that is still the same order.
  const stripeFields = (root) => {
    const form = root.closest("form");
    const token = root.querySelector("input[name=payment_method]");
    const quantity = form.querySelector("input[name=quantity]");
    const amount = () => Number(root.dataset.amount) * Math.max(1, Number(quantity ? quantity.value : 1) || 1);
    const stripe = window.Stripe(root.dataset.key, { locale: document.documentElement.lang });
    const elements = stripe.elements({
      mode: "payment",
      amount: amount(),
      currency: root.dataset.currency,
      captureMethod: "manual",
      appearance: look(),
    });
    const element = elements.create("payment");
    element.on("change", () => {
      token.value = "";
    });
    element.on("loaderror", () => say(root, root.dataset.unreachable));
    element.mount(root.querySelector("[data-fields]"));
    if (quantity) quantity.addEventListener("input", () => elements.update({ amount: amount() }));

    const makeToken = async () => {
      const checked = await elements.submit();
      if (checked.error) return checked;
      return stripe.createConfirmationToken({ elements });
    };

    form.addEventListener("submit", async (event) => {
      const pressed = event.submitter;
      if (token.value || (pressed && pressed.value === "later")) return;
      event.preventDefault();
      event.stopPropagation();
      if (occupied) return;
      occupied = true;
      say(root, "");
      let made;
      try {
        made = await makeToken();
      } catch {
        made = { error: { message: root.dataset.silent } };
      }
      occupied = false;
      if (made.error) {
        say(root, made.error.message || root.dataset.impossible);
        return;
      }
      token.value = made.confirmationToken.id;
      form.requestSubmit(pressed);
    });
  };

  // The bank wants to hear from the buyer: Stripe.js asks, in a window of its own or by leading to the bank's page.
  const stripeConfirm = (root) => {
    const button = root.querySelector("[data-confirm]");
    const stripe = window.Stripe(root.dataset.key, { locale: document.documentElement.lang });
    const ask = async () => {
      if (occupied) return;
      occupied = true;
      say(root, "");
      try {
        const { clientSecret } = await needed(root.dataset.order);
        const { error } = await stripe.handleNextAction({ clientSecret });
        await wasThere(root.dataset.order);
        button.hidden = !error;
        say(root, error ? error.message : "");
      } catch {
        say(root, root.dataset.didntWork);
      }
      occupied = false;
    };
    button.addEventListener("click", (event) => {
      event.preventDefault();
      ask();
    });
    // At once, but only once: who has come back from there decides alone whether to go again.
    const asked = `asked:${root.dataset.order}`;
    if (sessionStorage.getItem(asked)) return;
    sessionStorage.setItem(asked, "yes");
    ask();
  };

  // --- PayPal -------------------------------------------------------------------------------------------------------

  // Send the form and answer the address of the order that it leads to: our own server asks PayPal for the payment.
  const place = async (form) => {
    const fields = new FormData(form);
    fields.set("pay", "now");
    const reply = await fetch(form.action, { method: "POST", body: fields });
    const path = new URL(reply.url).pathname;
    return /^\/orders\/[0-9a-f-]{36}$/.test(path) && reply.redirected ? path : "";
  };

  const paypalButtons = (root) => {
    const form = root.closest("form");
    let order = root.dataset.order || "";
    const leave = () => {
      occupied = false;
      // Without an order the server has something to say about the form: sent by itself, it comes back with that. Its
      // key sees to it that an order whose answer got lost is shown, and not made again.
      if (order) window.location.assign(order);
      else form.requestSubmit(form.querySelector("button[value=now], button[type=submit]"));
    };
    const buttons = window.paypal.Buttons({
      style: { layout: "vertical", shape: "rect", label: "pay", height: 48 },
      onClick: (_, actions) => (!form || form.reportValidity() ? actions.resolve() : actions.reject()),
      createOrder: async () => {
        occupied = true;
        order = order || (await place(form));
        if (!order) throw new Error("The order was not placed.");
        return (await needed(order)).orderId;
      },
      onApprove: async () => {
        await wasThere(order);
        leave();
      },
      onCancel: leave,
      onError: leave,
    });
    if (buttons.isEligible && !buttons.isEligible()) return;
    const instead = form
      ? form.querySelector("[data-testid=buy-now], [data-testid=pay-now]")
      : document.querySelector("[data-instead]");
    buttons.render(root.querySelector("[data-fields]")).then(
      () => {
        if (instead) instead.hidden = true; // it does the same, on a page of PayPal's instead of in a window
      },
      () => {},
    );
  };

  const tills = {
    stripe: [() => window.Stripe, stripeFields],
    "stripe-confirm": [() => window.Stripe, stripeConfirm],
    paypal: [() => window.paypal, paypalButtons],
  };

  const open = () => {
    for (const root of document.querySelectorAll("[data-till]:not([data-open])")) {
      root.dataset.open = "yes";
      const [script, start] = tills[root.dataset.till];
      if (script()) start(root);
      else if (root.dataset.till === "stripe") {
        say(root, root.dataset.unreachable);
      }
    }
  };

  document.addEventListener("DOMContentLoaded", open);
  document.addEventListener("htmx:afterSettle", open);
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (occupied) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (occupied) event.detail.shouldSwap = false;
  });
})();
