// A stand-in for Stripe.js, as far as the shop uses it: the same calls, checked as Stripe checks them, fields in a frame
// of Stripe's own origin, and a frame in which the bank asks the buyer.
"use strict";

window.Stripe = (key) => {
  if (!/^pk_test_/.test(key)) throw new Error("IntegrationError: this is no publishable key");
  const ask = async (path, body) => {
    const reply = await fetch(`https://api.stripe.com/v1/${path}`, { method: "POST", body: JSON.stringify(body) });
    return reply.json();
  };
  const frame = (address) => {
    const made = document.createElement("iframe");
    made.src = address;
    made.width = "100%";
    made.height = "150";
    return made;
  };
  return {
    elements(options) {
      const { mode, amount, currency, captureMethod } = options;
      if (mode !== "payment" || captureMethod !== "manual") throw new Error("IntegrationError: the mode");
      if (!Number.isInteger(amount) || amount < 50) throw new Error(`IntegrationError: the amount ${amount}`);
      if (!/^[a-z]{3}$/.test(currency)) throw new Error("IntegrationError: the currency");
      const group = { card: "", submitted: false, asked: options };
      window.stripeAsked = options;
      group.update = (changes) => Object.assign(group.asked, changes);
      group.create = (type) => {
        if (type !== "payment") throw new Error("IntegrationError: the element");
        const listeners = {};
        window.addEventListener("message", (event) => {
          if (event.origin !== "https://js.stripe.com" || !("card" in event.data)) return;
          group.card = event.data.card;
          window.stripeHeard = event.data.typed;
          group.submitted = false;
          if (listeners.change) listeners.change({ complete: Boolean(group.card) });
        });
        return {
          on: (name, heard) => {
            listeners[name] = heard;
          },
          mount: (node) => {
            if (!(node instanceof Element)) throw new Error("IntegrationError: nowhere to mount");
            node.append(frame("https://js.stripe.com/fields.html"));
          },
        };
      };
      group.submit = async () => {
        if (!group.card) return { error: { type: "validation_error", message: "Your card number is incomplete." } };
        group.submitted = true;
        return {};
      };
      return group;
    },
    async createConfirmationToken({ elements }) {
      if (!elements.submitted) throw new Error("IntegrationError: elements.submit() must be called before");
      return { confirmationToken: await ask("confirmation_tokens", { card: elements.card }) };
    },
    async handleNextAction({ clientSecret }) {
      const intent = clientSecret.replace(/_secret_.*/, "");
      if (intent === clientSecret) throw new Error("IntegrationError: this is no client_secret");
      const bank = frame("https://hooks.stripe.com/3ds.html");
      bank.dataset.testid = "bank";
      document.body.append(bank);
      const approve = await new Promise((resolve) => {
        window.addEventListener("message", (event) => {
          if (event.origin === "https://hooks.stripe.com") resolve(event.data === "approve");
        });
      });
      bank.remove();
      await ask("decide", { intent, approve });
      return approve
        ? { paymentIntent: { id: intent, status: "requires_capture" } }
        : { error: { type: "invalid_request_error", message: "We are unable to authenticate your payment method." } };
    },
  };
};
