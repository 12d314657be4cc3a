// A stand-in for PayPal's JavaScript SDK, as far as the shop uses it: a button in a frame of PayPal's own origin, which
// opens PayPal's window, and callbacks as PayPal makes them.
"use strict";

window.paypal = {
  Buttons({ createOrder, onClick, onApprove, onCancel, onError }) {
    const actions = { resolve: async () => true, reject: async () => false };
    return {
      isEligible: () => true,
      async render(node) {
        const frame = document.createElement("iframe");
        frame.src = "https://www.paypal.com/button.html";
        frame.width = "100%";
        frame.height = "60";
        const tell = (what) => frame.contentWindow.postMessage(what, "https://www.paypal.com");
        let id = "";
        window.addEventListener("message", async (event) => {
          if (event.source !== frame.contentWindow) return;
          if (event.data === "pressed") {
            try {
              if (onClick && !(await onClick({ fundingSource: "paypal" }, actions))) {
                tell({ close: true });
                return;
              }
              id = await createOrder({ paymentSource: "paypal" });
              if (typeof id !== "string" || !id) throw new Error("createOrder must answer an order's id");
              tell({ show: id });
            } catch (error) {
              tell({ close: true });
              onError(error);
            }
          } else if (event.data === "approved") {
            await onApprove({ orderID: id, payerID: "PAYER1" });
          } else if (event.data === "closed") {
            onCancel({ orderID: id });
          }
        });
        await new Promise((resolve) => {
          frame.addEventListener("load", resolve);
          node.append(frame);
        });
      },
    };
  },
};
