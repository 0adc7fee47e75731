// FAPI 2.0 Message Signing by oauth4webapi: a signed request, a signed answer (JARM), a signed introspection (RFC 9701).
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
const client = { client_id: given.client_id };
const proven = oauth.PrivateKeyJwt({ key, kid: given.key.kid });
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const request = new URLSearchParams({
  client_id: client.client_id,
  response_type: "code",
  response_mode: "jwt",
  redirect_uri: given.redirect_uri,
  scope: "records.read",
  state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  authorization_details: JSON.stringify(given.authorization_details),
});
const push = async (object) => {
  const parameters = new URLSearchParams({ client_id: client.client_id, request: object });
  const answer = await oauth.pushedAuthorizationRequest(server, client, proven, parameters, {
    DPoP,
    ...loopback,
  });
  return oauth.processPushedAuthorizationResponse(server, client, answer);
};
const foreign = await oauth.generateKeyPair("ES256");
const forged = await refusal(async () =>
  push(await oauth.issueRequestObject(server, client, request, { key: foreign.privateKey, kid: given.key.kid })),
);
const object = await oauth.issueRequestObject(server, client, request, { key, kid: given.key.kid });
const pushed = await push(object);
const again = await refusal(() => push(object));

const address = new URL(server.authorization_endpoint);
address.searchParams.set("client_id", client.client_id);
address.searchParams.set("request_uri", pushed.request_uri);
tell({ authorize: address.href });
const { callback } = await hear();

const answered = [...new URL(callback).searchParams.keys()];
const otherClient = await refusal(() =>
  oauth.validateJwtAuthResponse(server, { client_id: "another" }, new URL(callback), state, loopback),
);
const parameters = await oauth.validateJwtAuthResponse(server, client, new URL(callback), state, loopback);
const tokens = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(server, client, proven, parameters, given.redirect_uri, verifier, {
    DPoP,
    ...loopback,
  }),
);
const introspect = async (token) => {
  const options = { requestJwtResponse: true, ...loopback };
  const answer = await oauth.introspectionRequest(server, client, proven, token, options);
  const told = await oauth.processIntrospectionResponse(server, client, answer);
  await oauth.validateApplicationLevelSignature(server, answer, loopback);
  return { told, type: answer.headers.get("Content-Type") };
};
const known = await introspect(tokens.access_token);
const ended = await oauth.revocationRequest(server, client, proven, tokens.refresh_token, loopback);
await oauth.processRevocationResponse(ended);
const after = await introspect(tokens.access_token);
tell({
  forged,
  again,
  answered,
  other_client: otherClient,
  grant_id: tokens.grant_id,
  known: known.told,
  introspection_type: known.type,
  is_active_after_revocation: after.told.active,
});
process.exit(0);
