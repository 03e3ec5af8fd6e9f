// Signs people in, keeps them signed in, and calls an API as them. The middleware has the routes /login, /callback and /logout.
import express from "express";
import oidc from "express-openid-connect";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, COOKIE_SECRET, PORT, API, API_URL } = process.env;
const authorizationParams = { response_type: "code", scope: "openid profile offline_access deals:read", resource: API };
const app = express().use(oidc.auth({ issuerBaseURL: ISSUER, baseURL: `http://localhost:${PORT}`, clientID: CLIENT_ID,
  clientSecret: CLIENT_SECRET, secret: COOKIE_SECRET, idpLogout: true, authorizationParams }));
app.get("/", async (request, response) => {
  let token = request.oidc.accessToken;
  if (token.isExpired()) token = await token.refresh();
  const deals = await fetch(`${API_URL}/deals`, { headers: { authorization: `Bearer ${token.access_token}` } });
  response.json({ name: request.oidc.user.name, deals: await deals.json() });
});
app.listen(PORT, "127.0.0.1", () => console.log("listening"));
