
(() => {
  "use strict";
  const form = document.querySelector("form[data-passkey]");
  if (!form || !window.PublicKeyCredential || !navigator.credentials) return;
  const button = form.querySelector("button"), status = form.querySelector("[role=alert]");
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => buffer && btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const options = JSON.parse(form.dataset.options).publicKey;
  options.challenge = bytes(options.challenge);
  for (const list of [options.allowCredentials, options.excludeCredentials]) {
    for (const key of list || []) key.id = bytes(key.id);
  }
  if (options.user) options.user.id = bytes(options.user.id);
  const adding = form.dataset.passkey === "create";
  const send = (key) => {
    const { response } = key;
    const answer = adding
      ? { attestationObject: text(response.attestationObject), clientDataJSON: text(response.clientDataJSON),
          transports: response.getTransports ? response.getTransports() : undefined }
      : { authenticatorData: text(response.authenticatorData), clientDataJSON: text(response.clientDataJSON),
          signature: text(response.signature), userHandle: text(response.userHandle) };
    const { credProps } = key.getClientExtensionResults();
    form.elements.response.value = JSON.stringify({
      id: key.id, rawId: text(key.rawId), type: key.type, response: answer, extensions: adding && credProps ? { credProps } : {},
    });
    form.submit();
  };
  const says = {
    NotAllowedError: adding ? "No passkey was added. You can try again." : "No passkey was used. You can try again.",
    InvalidStateError: "This device already has a passkey for this account.",
    NotSupportedError: "This device cannot keep a passkey.",
    ConstraintError: "This device cannot verify you. Set a screen lock or a PIN first.",
    SecurityError: "Passkeys do not work at this address.",
  };
  let waiting;
  const ask = async (mediation) => {
    const controller = new AbortController();
    if (waiting) waiting.abort();
    waiting = controller;
    try {
      const wanted = { publicKey: options, signal: controller.signal };
      if (mediation) wanted.mediation = mediation;
      const key = adding ? await navigator.credentials.create(wanted) : await navigator.credentials.get(wanted);
      if (key) send(key);
    } catch (error) {
      if (error.name === "AbortError" || mediation) return;
      status.textContent = says[error.name] || "The passkey could not be used. You can try again.";
      button.disabled = false;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    status.textContent = "";
    button.disabled = true;
    ask();
  });
  for (const part of document.querySelectorAll("[data-with-passkey]")) part.hidden = false;
  for (const part of document.querySelectorAll("[data-without-passkey]")) part.hidden = true;
  if (!adding && PublicKeyCredential.isConditionalMediationAvailable) {
    PublicKeyCredential.isConditionalMediationAvailable().then((can) => { if (can) ask("conditional"); });
  }
  window.addEventListener("pageshow", () => { button.disabled = false; });
})();
