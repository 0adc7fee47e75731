// The whole flow by openid-client: discovery, PAR, PKCE, private_key_jwt, DPoP, iss, refresh, introspection, revocation.
import * as client from "openid-client";

import { hear, refusal, tell } from "./talk.mjs";

const given = await hear();
const algorithm = { name: "ECDSA", namedCurve: "P-256" };
const key = await crypto.subtle.importKey("jwk", given.key, algorithm, false, ["sign"]);
const config = await client.discovery(
  new URL(given.issuer),
  given.client_id,
  {},
  client.PrivateKeyJwt({ key, kid: given.key.kid }),
  { algorithm: "oauth2", execute: [client.allowInsecureRequests] },
);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));

async function agreed() {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const address = await client.buildAuthorizationUrlWithPAR(
    config,
    {
      redirect_uri: given.redirect_uri,
      scope: "records.read",
      state,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      authorization_details: JSON.stringify(given.authorization_details),
    },
    { DPoP },
  );
  tell({ authorize: address.href });
  const { callback } = await hear();
  return { callback: new URL(callback), checks: { pkceCodeVerifier: verifier, expectedState: state } };
}

const { callback, checks } = await agreed();
const redeem = () => client.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
const tokens = await redeem();
const pull = async (token, proof = DPoP) => {
  const headers = new Headers({ "Idempotency-Key": "one" });
  const address = new URL(`${given.issuer}/v1/deliveries`);
  return client.fetchProtectedResource(config, token, address, "POST", undefined, headers, { DPoP: proof });
};
const delivered = await pull(tokens.access_token);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
const known = await client.tokenIntrospection(config, refreshed.access_token);
const foreign = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const stolen = await refusal(() => pull(refreshed.access_token, foreign));
const replayed = await refusal(redeem);
const after = await client.tokenIntrospection(config, refreshed.access_token);
await client.tokenRevocation(config, tokens.refresh_token);
tell({
  grant_id: tokens.grant_id,
  token_type: tokens.token_type,
  details: tokens.authorization_details,
  delivered: { status: delivered.status, body: await delivered.json() },
  is_active: known.active,
  known_grant: known.grant_id,
  stolen,
  replayed,
  is_active_after_replay: after.active,
});
process.exit(0);
