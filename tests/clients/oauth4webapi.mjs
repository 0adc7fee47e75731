// The same flow by oauth4webapi, step by step, and what it finds wrong when answers are not the server's.
import * as oauth from "oauth4webapi";

import { hear, refusal, tell } from "./talk.mjs";

const given = await hear();
const algorithm = { name: "ECDSA", namedCurve: "P-256" };
const key = await crypto.subtle.importKey("jwk", given.key, algorithm, false, ["sign"]);
const loopback = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(given.issuer);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...loopback }),
);
const resource = new URL(`${given.issuer}/`);
const described = await oauth.processResourceDiscoveryResponse(
  resource,
  await oauth.resourceDiscoveryRequest(resource, loopback),
);
const client = { client_id: given.client_id };
const proven = oauth.PrivateKeyJwt({ key, kid: given.key.kid });
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const request = new URLSearchParams({
  client_id: client.client_id,
  response_type: "code",
  redirect_uri: given.redirect_uri,
  scope: "records.read",
  state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  authorization_details: JSON.stringify(given.authorization_details),
});
const push = (parameters) =>
  oauth
    .pushedAuthorizationRequest(server, client, proven, parameters, { DPoP, ...loopback })
    .then((answer) => oauth.processPushedAuthorizationResponse(server, client, answer));
const without = new URLSearchParams(request);
without.delete("code_challenge");
const withoutPkce = await refusal(() => push(without));
const pushed = await push(request);

const address = new URL(server.authorization_endpoint);
address.searchParams.set("client_id", client.client_id);
address.searchParams.set("request_uri", pushed.request_uri);
tell({ authorize: address.href });
const { callback } = await hear();

const mixedUp = new URL(callback);
mixedUp.searchParams.set("iss", "https://mix-up.example");
const foundMixUp = await refusal(async () => oauth.validateAuthResponse(server, client, mixedUp, state));
const parameters = oauth.validateAuthResponse(server, client, new URL(callback), state);
const redeem = async (by) =>
  oauth.processAuthorizationCodeResponse(
    server,
    client,
    await oauth.authorizationCodeGrantRequest(server, client, by, parameters, given.redirect_uri, verifier, {
      DPoP,
      ...loopback,
    }),
  );
const tokens = await redeem(proven);
const headers = new Headers({ "Idempotency-Key": "two" });
const delivered = await oauth.protectedResourceRequest(
  tokens.access_token,
  "POST",
  new URL(`${given.issuer}/v1/deliveries`),
  headers,
  undefined,
  { DPoP, ...loopback },
);
const asBearer = await fetch(`${given.issuer}/v1/deliveries`, {
  method: "POST",
  headers: { Authorization: `Bearer ${tokens.access_token}`, "Idempotency-Key": "two" },
});
const introspect = async (token) =>
  oauth.processIntrospectionResponse(
    server,
    client,
    await oauth.introspectionRequest(server, client, proven, token, loopback),
  );
const known = await introspect(tokens.access_token);
const ended = await oauth.revocationRequest(server, client, proven, tokens.refresh_token, loopback);
await oauth.processRevocationResponse(ended);
const after = await introspect(tokens.access_token);
tell({
  resource_servers: described.authorization_servers,
  withoutPkce,
  foundMixUp,
  grant_id: tokens.grant_id,
  token_type: tokens.token_type,
  delivered: { status: delivered.status, body: await delivered.json() },
  as_bearer: { status: asBearer.status, challenge: asBearer.headers.get("WWW-Authenticate") },
  is_active: known.active,
  bound_to: known.cnf,
  is_active_after_revocation: after.active,
});
process.exit(0);
