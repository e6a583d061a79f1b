// Who looks at the page: asked for a token only when the API wants one, and kept for this tab alone.

import { ask } from "./client.js";
import { h, show } from "./dom.js";

/** Who looks: `{user, operator, sees_all}`, once the API has said so. */
export const me = { user: "", operator: false };

/** Of anything else no header can be made, and a browser would say that nobody answers. */
const SENDABLE = /^[\x21-\x7e]+$/;

export async function whoami() {
  Object.assign(me, await ask("whoami"));
  document.getElementById("who").textContent = me.user;
}

/** Ask for a token, unless a session lets in without; then go on with what was being loaded. */
export async function signIn(goOn) {
  const wrong = sessionStorage.getItem("token");
  sessionStorage.removeItem("token");
  if (wrong) {
    const known = await whoami().then(() => true, () => false);
    if (known) return goOn();
  }
  form(wrong, goOn);
}

function form(wrong, goOn) {
  const main = document.getElementById("main");
  const submit = (event) => {
    event.preventDefault();
    const token = event.target.elements.token.value.trim();
    if (!SENDABLE.test(token)) return form(true, goOn);
    sessionStorage.setItem("token", token);
    goOn();
  };
  show(main, [h("section", { class: "card", "data-key": "sign-in", "aria-labelledby": "sign-in" },
    h("h1", { id: "sign-in", tabindex: -1 }, "Who are you?"),
    h("p", {}, "Batchkeeper shows batches to their owners. Give the token that your operator gave you, or one of your cluster: ",
      h("code", {}, "kubectl create token NAME"), ". On your own machine open the address that ", h("code", {}, "batchkeeper controller"), " printed."),
    wrong && h("p", { class: "notice", role: "alert" }, "That token was not accepted."),
    h("form", { class: "filters", onsubmit: submit },
      h("label", {}, "Token", h("input", { type: "password", name: "token", id: "token", size: 40, required: true, autocomplete: "off" })),
      h("button", { type: "submit", class: "primary" }, "Go on")))]);
  const field = document.getElementById("token");
  field.value = "";
  field.focus();
}
