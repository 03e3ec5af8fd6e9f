(() => {
  "use strict";
  const form = document.querySelector("form[data-push]");
  if (!form || !("serviceWorker" in navigator) || !window.PushManager || !window.Notification) return;
  const button = form.querySelector("button"), status = form.querySelector("[role=alert]");
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => buffer && btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const says = {
    NotAllowedError: "This browser may not show notices of this page. Its settings can change that.",
    AbortError: "The browser's push service cannot be reached. You can try again.",
    NotSupportedError: "This browser cannot show notices.",
  };
  // A worker has to be there before anything can be subscribed to.
  const active = (registration) => new Promise((resolve, reject) => {
    const worker = registration.active || registration.waiting || registration.installing;
    const look = () => {
      if (worker.state === "activated") resolve(registration);
      if (worker.state === "redundant") reject(new Error("the worker did not start"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
  const subscribe = async () => {
    if (await Notification.requestPermission() !== "granted") throw new DOMException("", "NotAllowedError");
    const { pushManager } = await active(await navigator.serviceWorker.register(form.dataset.push));
    let subscription = await pushManager.getSubscription();
    if (subscription && text(subscription.options.applicationServerKey) !== form.dataset.key) {
      await subscription.unsubscribe();
      subscription = null;
    }
    const wanted = { userVisibleOnly: true, applicationServerKey: bytes(form.dataset.key) };
    return subscription || pushManager.subscribe(wanted);
  };
  form.hidden = false;
  for (const part of document.querySelectorAll("[data-without-push]")) part.hidden = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    status.textContent = "";
    button.disabled = true;
    try {
      const { endpoint, keys } = (await subscribe()).toJSON();
      form.elements.endpoint.value = endpoint;
      form.elements.p256dh.value = keys.p256dh;
      form.elements.auth.value = keys.auth;
      form.submit();
    } catch (error) {
      status.textContent = says[error.name] || "Notices could not be turned on. You can try again.";
      button.disabled = false;
    }
  });
  window.addEventListener("pageshow", () => { button.disabled = false; });
})();
