"use strict";
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (event) => {
  let said = {};
  try { said = event.data.json(); } catch { /* what cannot be read is said in our own words */ }
  event.waitUntil(self.registration.showNotification(said.title || "Something waits for your approval", {
    body: said.body || "Look at it and decide.", tag: said.tag, data: said.link, requireInteraction: true,
  }));
});
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  // It leads to a page of ours, where one signs in and decides; never elsewhere.
  const page = new URL("../approvals", self.location.href);
  const link = new URL(event.notification.data || page, self.location.href);
  event.waitUntil(self.clients.openWindow(link.origin === page.origin ? link.href : page.href));
});
