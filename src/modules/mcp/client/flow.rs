//! From a refusal to a token: what a challenge asks for is found, asked for, and kept for the next call.

use super::answer::{Token, code_of, error_of, token_of, union, words};
use super::challenge::{Challenge, challenges};
use super::fault::{ClientError, shown};
use super::http::{self, Heard, Sent};
use super::metadata::{
    ResourceMetadata, ServerMetadata, resource_metadata, resource_places, server_metadata, server_places,
};
use super::sign::{ProofKey, SigningKey};
use super::who::{Becoming, Us, becoming, given, registered, registration};
use super::{Around, Enterprise, Trial, Way};
use crate::identity::{hash_of, is_secure};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// How often tokens are had in a trial, the first included.
pub const ROUNDS_MAX: usize = 3;
/// How often a server may hand out a nonce for proofs.
pub const NONCES_MAX: usize = 8;
/// The scope that a refresh token takes.
const OFFLINE: &str = "offline_access";
const FORM: &str = "application/x-www-form-urlencoded";
const CLIENT_CREDENTIALS: &str = "client_credentials";
const AUTHORIZATION_CODE: &str = "authorization_code";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// A token, where it comes from, and for what.
struct Held {
    token: Token,
    us: Us,
    server: ServerMetadata,
    resource: String,
    /// All scopes that were asked for.
    asked: Vec<String>,
    /// Whether a call with it was answered.
    worked: bool,
}

/// Members of a form.
type Fields = Vec<(&'static str, Zeroizing<String>)>;

/// A trial's tokens.
pub(super) struct Flow<'a> {
    trial: &'a Trial,
    around: Around<'a>,
    key: Option<ProofKey>,
    /// The newest nonce of each server.
    nonces: BTreeMap<String, String>,
    nonces_had: usize,
    held: Option<Held>,
    rounds: usize,
    /// How people have to show who they are (RFC 9470).
    demands: Vec<(&'static str, String)>,
}

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { shown(&texts.join(" ")) }
}

impl<'a> Flow<'a> {
    pub(super) fn new(trial: &'a Trial, around: Around<'a>) -> Flow<'a> {
        let (nonces, demands) = (BTreeMap::new(), Vec::new());
        Flow { trial, around, key: None, nonces, nonces_had: 0, held: None, rounds: 0, demands }
    }

    fn step(&self, title: &str) {
        self.around.teller.step(title);
    }

    fn says(&self, text: &str) {
        self.around.teller.says(text);
    }

    /// The headers that show the token, with a proof of its key where it has one.
    pub(super) fn shows(&self, method: &str, url: &Url) -> Result<Sent, ClientError> {
        let Some(Held { token, .. }) = &self.held else { return Ok(Vec::new()) };
        let scheme = if token.dpop { "DPoP" } else { "Bearer" };
        let mut sent = vec![("authorization", Zeroizing::new(format!("{scheme} {}", token.access.as_str())))];
        if let Some(key) = self.key.as_ref().filter(|_| token.dpop) {
            let nonce = self.nonces.get(&origin(url)).map(String::as_str);
            let proof = key.proof((method, url), Some(&token.access), nonce, &(self.around.env)())?;
            sent.push(("dpop", Zeroizing::new(proof)));
        }
        Ok(sent)
    }

    /// A call was answered.
    pub(super) fn worked(&mut self) {
        if let Some(held) = &mut self.held {
            held.worked = true;
        }
    }

    /// Whether a token was had.
    pub(super) fn has_token(&self) -> bool {
        self.held.is_some()
    }

    /// Keeps a nonce for the next proofs; whether it is a new one.
    fn nonce(&mut self, url: &Url, heard: &Heard) -> bool {
        let Some(nonce) = heard.header("dpop-nonce").filter(|nonce| !nonce.is_empty() && nonce.len() <= 512) else {
            return false;
        };
        let new = self.nonces.insert(origin(url), nonce.to_owned()).as_deref() != Some(nonce);
        self.nonces_had += usize::from(new);
        new && self.nonces_had <= NONCES_MAX
    }

    /// Does what a refusal of the MCP server asks for, so that the call can be made again.
    pub(super) async fn satisfy(&mut self, heard: &Heard) -> Result<(), ClientError> {
        let read = challenges(&heard.headers);
        if read.is_none() {
            self.says("its WWW-Authenticate is malformed or too long, and is not used (RFC 9110 11.6.1)");
        }
        let all = read.unwrap_or_default();
        let challenge = all.iter().find(|one| one.wants_token()).cloned().unwrap_or_default();
        self.tell(heard.status, &challenge);
        let code = challenge.get("error").unwrap_or_default();
        let url = &self.trial.url;
        if code == "use_dpop_nonce" && self.nonce(url, heard) {
            self.says("it wants a nonce in proofs, which the next has (RFC 9449 9)");
            return Ok(());
        }
        match (heard.status, code) {
            (403, "insufficient_scope") => self.step_up(&challenge).await,
            (401, "insufficient_user_authentication") => self.again_better(&challenge).await,
            (401, _) => self.token_for(&challenge).await,
            (status, _) => {
                let said = challenge.get("error_description").map(|said| format!(": {}", shown(said)));
                Err(ClientError::Status { what: "the MCP server".into(), status, said: said.unwrap_or_default() })
            }
        }
    }

    fn tell(&self, status: u16, challenge: &Challenge) {
        let said = |name: &&str| Some(format!("{name} {}", shown(challenge.get(name)?)));
        let names = ["error", "error_description", "scope", "resource_metadata", "acr_values", "max_age"];
        let said: Vec<String> = names.iter().filter_map(said).collect();
        let scheme = if challenge.scheme.is_empty() { "no challenge" } else { challenge.scheme.as_str() };
        let line = format!("{status} ({}): {}", shown(scheme), said.join(", "));
        self.says(line.trim_end_matches([':', ' ']));
    }

    /// 401: finds who gives tokens, and has one.
    async fn token_for(&mut self, challenge: &Challenge) -> Result<(), ClientError> {
        let (resource, server) = self.discover(challenge).await?;
        let before = self.held.take();
        if let Some(before) = before {
            if before.server.issuer == server.issuer {
                if !before.worked {
                    let said = challenge.get("error_description").map(|said| format!(": {}", shown(said)));
                    return Err(ClientError::Useless { said: said.unwrap_or_default() });
                }
                if before.token.refresh.is_some() {
                    return self.refresh(before).await;
                }
                let asked = self.wanted(challenge, &resource, &server, &before.asked);
                return self.have(resource.resource, server, before.us, asked).await;
            }
            self.says("the server went over to another authorization server: what the one before gave is not shown there (SEP-2352)");
            if self.trial.client.id.is_some() {
                let text =
                    "the client that was named is one of the authorization server before; say --client-id of the other";
                return Err(ClientError::Wrong(text.into()));
            }
        }
        let asked = self.wanted(challenge, &resource, &server, &[]);
        let us = self.become_client(&server).await?;
        self.have(resource.resource, server, us, asked).await
    }

    /// The scopes to ask for: those of the challenge, else those that the person said, else those of the resource.
    fn wanted(
        &self,
        challenge: &Challenge,
        resource: &ResourceMetadata,
        server: &ServerMetadata,
        before: &[String],
    ) -> Vec<String> {
        let said = union(before, self.trial.scopes.iter().map(String::as_str));
        let named = challenge.get("scope").map(words);
        let more = match named {
            Some(named) => named,
            None if self.trial.scopes.is_empty() => resource.scopes.clone(),
            None => Vec::new(),
        };
        let mut all = union(&said, more.iter().map(String::as_str));
        // SEP-2207: only where the server knows it, and there is somebody who could be away. Who is registered may have been
        // given no such scope, and asks only for what the person wants to try.
        let away = matches!(self.trial.way, Way::Person) && (self.trial.refresh || self.trial.client.id.is_none());
        if away && server.scopes.iter().any(|scope| scope == OFFLINE) {
            all = union(&all, [OFFLINE]);
        }
        all
    }

    /// 403: more scopes, with all that were asked for before (SEP-2350).
    async fn step_up(&mut self, challenge: &Challenge) -> Result<(), ClientError> {
        let Some(held) = self.held.take() else {
            let said = ": it wants scopes of a token that it was not shown; it has to answer 401 first".to_owned();
            return Err(ClientError::Status { what: "the MCP server".into(), status: 403, said });
        };
        let wanted = words(challenge.get("scope").unwrap_or_default());
        let asked = union(&held.asked, wanted.iter().map(String::as_str));
        if asked.len() == held.asked.len() {
            let given = held.token.scopes.as_ref().unwrap_or(&held.asked);
            return Err(ClientError::Scopes {
                wanted: list(&wanted),
                issuer: held.server.issuer.clone(),
                given: list(given),
            });
        }
        self.have(held.resource, held.server, held.us, asked).await
    }

    /// 401: the person has to show anew, or better, who they are (RFC 9470).
    async fn again_better(&mut self, challenge: &Challenge) -> Result<(), ClientError> {
        let demand = |name: &'static str| Some((name, challenge.get(name)?.to_owned()));
        let demands: Vec<_> = ["acr_values", "max_age"].into_iter().filter_map(demand).collect();
        let Some(held) = self.held.take() else { return self.token_for(challenge).await };
        if demands == self.demands || demands.is_empty() {
            return Err(ClientError::Useless { said: ": the person did not show well enough who they are".into() });
        }
        self.demands = demands;
        self.have(held.resource, held.server, held.us, held.asked).await
    }

    async fn discover(&mut self, challenge: &Challenge) -> Result<(ResourceMetadata, ServerMetadata), ClientError> {
        self.step("Which authorization server: protected resource metadata (RFC 9728)");
        let resource = self.resource(challenge).await?;
        self.says(&format!(
            "resource {}, authorization servers {}, scopes {}",
            shown(&resource.resource),
            list(&resource.servers),
            list(&resource.scopes)
        ));
        let chosen = match &self.trial.issuer {
            None => resource.servers.first().ok_or(ClientError::NoServer)?.clone(),
            Some(ours) if resource.servers.contains(ours) => ours.clone(),
            Some(ours) => {
                let text = format!(
                    "the client is registered at `{}`, which the server does not name; it names {}",
                    shown(ours),
                    list(&resource.servers)
                );
                return Err(ClientError::Wrong(text));
            }
        };
        let server = self.server(&chosen).await?;
        if challenge.scheme == "dpop" || resource.dpop || self.trial.dpop {
            self.bind(&server)?;
        }
        Ok((resource, server))
    }

    /// Draws the key to which tokens are bound.
    fn bind(&mut self, server: &ServerMetadata) -> Result<(), ClientError> {
        if !server.dpop.is_empty() && !server.dpop.iter().any(|name| name == "ES256") {
            let (issuer, what) = (server.issuer.clone(), "proofs of keys with ES256".to_owned());
            return Err(ClientError::NotOffered { issuer, what, advice: "leave --dpop out, or have it take ES256" });
        }
        if self.key.is_none() {
            self.key = Some(ProofKey::draw()?);
            self.says("tokens are bound to a key of this trial (DPoP, RFC 9449)");
        }
        Ok(())
    }

    async fn resource(&self, challenge: &Challenge) -> Result<ResourceMetadata, ClientError> {
        const WHAT: &str = "the metadata of the protected resource";
        let named = challenge.get("resource_metadata").map(|named| {
            let url = Url::parse(named).ok().filter(is_secure);
            url.ok_or_else(|| ClientError::malformed("the challenge", "`resource_metadata` is no https URL"))
        });
        let named = named.transpose()?;
        let is_named = named.is_some();
        let places = named.map_or_else(|| resource_places(&self.trial.url), |url| vec![url]);
        for place in &places {
            let heard = http::get(self.around.outgoing, WHAT, place).await?;
            self.says(&format!("{}: {}", shown(place.as_str()), heard.status));
            if heard.status == 200 {
                return resource_metadata(&heard.body, &self.trial.url);
            }
            if is_named {
                return Err(ClientError::Status { what: WHAT.into(), status: heard.status, said: String::new() });
            }
        }
        Err(ClientError::NoResourceMetadata { places: places_of(&places) })
    }

    async fn server(&self, issuer: &str) -> Result<ServerMetadata, ClientError> {
        const WHAT: &str = "the metadata of the authorization server";
        self.step("What it offers: authorization server metadata (RFC 8414)");
        let url =
            Url::parse(issuer).ok().filter(|url| is_secure(url) && url.query().is_none() && url.fragment().is_none());
        let url = url.ok_or_else(|| {
            ClientError::malformed("the issuer", format!("`{}` is no https URL without a query", shown(issuer)))
        })?;
        let places = server_places(&url);
        for place in &places {
            let heard = http::get(self.around.outgoing, WHAT, place).await?;
            self.says(&format!("{}: {}", shown(place.as_str()), heard.status));
            if heard.status != 200 {
                continue;
            }
            let server = server_metadata(&heard.body, issuer)?;
            let grants = server.grants.as_deref().map_or_else(|| "not said".to_owned(), list);
            let methods = server.methods.as_deref().map_or_else(|| "not said".to_owned(), list);
            self.says(&format!(
                "issuer {}, grant types {grants}, clients by {methods}, PKCE {}",
                shown(issuer),
                list(&server.challenges)
            ));
            return Ok(server);
        }
        Err(ClientError::NoServerMetadata { issuer: shown(issuer), places: places_of(&places) })
    }

    /// Becomes a client of a server.
    async fn become_client(&self, server: &ServerMetadata) -> Result<Us, ClientError> {
        const WHAT: &str = "the registration of clients";
        self.step("Who we are there");
        let how = becoming(&self.trial.client, server)?;
        if how != Becoming::Register {
            let us = given(&self.trial.client, how, server)?;
            let by = if how == Becoming::Document { "the URL of a document (CIMD)" } else { "as it was named" };
            self.says(&format!("client {}, {by}, shown by {}", shown(&us.id), us.method.name()));
            return Ok(us);
        }
        if !matches!(self.trial.way, Way::Person) {
            return Err(ClientError::Wrong(
                "who has tokens without a person is registered before; say --client-id, and its secret or key".into(),
            ));
        }
        let url = server.register.as_ref().ok_or_else(|| ClientError::NoClient { issuer: server.issuer.clone() })?;
        let body = registration(server, self.around.visitor.redirect_uri().as_str()).to_string();
        let heard =
            http::post(self.around.outgoing, WHAT, (url, "application/json"), &[], Zeroizing::new(body)).await?;
        if !matches!(heard.status, 200 | 201) {
            return Err(denied(WHAT, &heard));
        }
        let us = registered(&heard.body, server)?;
        self.says(&format!("client {}, registered just now (RFC 7591), shown by {}", shown(&us.id), us.method.name()));
        Ok(us)
    }

    /// Has a token.
    async fn have(
        &mut self,
        resource: String,
        server: ServerMetadata,
        us: Us,
        asked: Vec<String>,
    ) -> Result<(), ClientError> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(ClientError::Rounds { rounds: self.rounds });
        }
        let common = |mut fields: Fields| {
            fields.push(("resource", text(&resource)));
            fields.extend((!asked.is_empty()).then(|| ("scope", text(&asked.join(" ")))));
            fields
        };
        let (grant, fields) = match &self.trial.way {
            Way::Person => (AUTHORIZATION_CODE, self.code(&resource, &server, &us, &asked).await?),
            Way::Own => (CLIENT_CREDENTIALS, common(Vec::new())),
            Way::Assertion(assertion) => (JWT_BEARER, common(vec![("assertion", assertion.clone())])),
            Way::Enterprise(enterprise) => {
                let assertion = self.assertion(enterprise, &resource, &server, &asked).await?;
                (JWT_BEARER, common(vec![("assertion", assertion)]))
            }
        };
        let mut form = vec![("grant_type", text(grant))];
        form.extend(fields);
        self.step(&format!("A token ({})", grant.rsplit(':').next().unwrap_or(grant)));
        let token = self.token(&server, (&us, self.trial.client.key.as_ref()), form, true).await?;
        self.told(&token, &asked);
        self.held = Some(Held { token, us, server, resource, asked, worked: false });
        Ok(())
    }

    fn told(&self, token: &Token, asked: &[String]) {
        let kind = if token.dpop { "bound to its key" } else { "bearer" };
        let life = token.life_s.map_or_else(|| "for a time that is not said".to_owned(), |s| format!("for {s} s"));
        let refresh = if token.refresh.is_some() { ", with a refresh token" } else { "" };
        let scopes = token.scopes.as_deref().map_or_else(|| format!("{} (as asked for)", list(asked)), list);
        self.says(&format!("{kind}, {life}, scopes {scopes}{refresh}"));
    }

    /// Sends a person to the authorization server, and answers the form that redeems the code.
    async fn code(
        &self,
        resource: &str,
        server: &ServerMetadata,
        us: &Us,
        asked: &[String],
    ) -> Result<Fields, ClientError> {
        self.step("A person says yes: authorization code with PKCE (RFC 6749 4.1, RFC 7636)");
        if !server.challenges.iter().any(|method| method == "S256") {
            return Err(ClientError::NoPkce { issuer: server.issuer.clone() });
        }
        if server.pushed_only {
            let (issuer, what) = (server.issuer.clone(), "requests that are not pushed (RFC 9126)".to_owned());
            return Err(ClientError::NotOffered {
                issuer,
                what,
                advice: "this client pushes none; have it take others of this client",
            });
        }
        let endpoint = server.authorize.clone().ok_or_else(|| ClientError::NotOffered {
            issuer: server.issuer.clone(),
            what: "an `authorization_endpoint`".into(),
            advice: "people cannot sign in there; say --client-credentials, --idp or --assertion-file",
        })?;
        let env = (self.around.env)();
        let (state, verifier) = (env.secret(), Zeroizing::new(env.secret()));
        let redirect = self.around.visitor.redirect_uri();
        let mut url = endpoint;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code").append_pair("client_id", &us.id);
            query.append_pair("redirect_uri", redirect.as_str()).append_pair("state", &state);
            query.append_pair("code_challenge", &hash_of(&verifier)).append_pair("code_challenge_method", "S256");
            query.append_pair("resource", resource);
            if !asked.is_empty() {
                query.append_pair("scope", &asked.join(" "));
            }
            for (name, value) in &self.demands {
                query.append_pair(name, value);
            }
            if let Some(key) = &self.key {
                query.append_pair("dpop_jkt", &key.thumbprint);
            }
        }
        self.says(&format!("at {}, for {}, scopes {}", shown(&origin(&url)), shown(resource), list(asked)));
        let answer = self.around.visitor.visit(&url).await?;
        let code = code_of(&answer, &state, server)?;
        self.says("a code came back, with our `state` and of the right issuer");
        Ok(vec![
            ("code", code),
            ("redirect_uri", text(redirect.as_str())),
            ("code_verifier", verifier),
            ("resource", text(resource)),
        ])
    }

    /// Has an assertion for the server's authorization server, at the enterprise's identity provider.
    async fn assertion(
        &mut self,
        idp: &Enterprise,
        resource: &str,
        server: &ServerMetadata,
        asked: &[String],
    ) -> Result<Zeroizing<String>, ClientError> {
        self.step("The enterprise's identity provider (enterprise-managed authorization, ID-JAG)");
        let there = self.server(&idp.issuer).await?;
        let us = given(&idp.client, Becoming::Given, &there)?;
        let mut form = vec![
            ("grant_type", text(TOKEN_EXCHANGE)),
            ("requested_token_type", text(ID_JAG)),
            ("subject_token", idp.token.clone()),
            ("subject_token_type", text(&idp.token_type)),
            ("audience", text(&server.issuer)),
            ("resource", text(resource)),
        ];
        form.extend((!asked.is_empty()).then(|| ("scope", text(&asked.join(" ")))));
        self.step("An assertion for that server (token exchange, RFC 8693)");
        let token = self.token(&there, (&us, idp.client.key.as_ref()), form, false).await?;
        if token.issued.as_deref() != Some(ID_JAG) {
            return Err(ClientError::malformed(
                "the answer with the assertion",
                "its `issued_token_type` is not that of an ID-JAG",
            ));
        }
        self.says(&format!(
            "for {}, scopes {}",
            shown(&server.issuer),
            token.scopes.as_deref().map_or_else(|| "not said".to_owned(), list)
        ));
        Ok(token.access)
    }

    /// Has a new token for the refresh token.
    async fn refresh(&mut self, held: Held) -> Result<(), ClientError> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(ClientError::Rounds { rounds: self.rounds });
        }
        let Some(refresh) = held.token.refresh.clone() else {
            return Err(ClientError::Wrong("no refresh token came with the token".into()));
        };
        self.step("A new token (refresh_token)");
        let form = vec![
            ("grant_type", text("refresh_token")),
            ("refresh_token", refresh.clone()),
            ("resource", text(&held.resource)),
        ];
        let mut token = self.token(&held.server, (&held.us, self.trial.client.key.as_ref()), form, true).await?;
        token.refresh = token.refresh.or(Some(refresh));
        self.told(&token, &held.asked);
        self.held = Some(Held { token, worked: false, ..held });
        Ok(())
    }

    /// Tries the refresh token, where there is one.
    pub(super) async fn refresh_now(&mut self) -> Result<(), ClientError> {
        match self.held.take() {
            Some(held) => self.refresh(held).await,
            None => Err(ClientError::Wrong(
                "the server wanted no token, so there is none to refresh; leave --refresh out".into(),
            )),
        }
    }

    /// Asks a token endpoint.
    async fn token(
        &mut self,
        server: &ServerMetadata,
        (us, key): (&Us, Option<&SigningKey>),
        form: Fields,
        proved: bool,
    ) -> Result<Token, ClientError> {
        const WHAT: &str = "the token endpoint";
        let proved = proved && self.key.is_some();
        loop {
            let env = (self.around.env)();
            let shows = us.shows(key, &server.issuer, &env)?;
            let mut sent: Sent = Vec::new();
            sent.extend(shows.authorization.map(|value| ("authorization", value)));
            if let Some(key) = self.key.as_ref().filter(|_| proved) {
                let nonce = self.nonces.get(&origin(&server.token)).map(String::as_str);
                sent.push(("dpop", Zeroizing::new(key.proof(("POST", &server.token), None, nonce, &env)?)));
            }
            let pairs = form.iter().chain(&shows.fields).map(|(name, value)| (*name, value.as_str()));
            let body = Zeroizing::new(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish());
            let heard = http::post(self.around.outgoing, WHAT, (&server.token, FORM), &sent, body).await?;
            let new = self.nonce(&server.token, &heard);
            if heard.status == 200 {
                return token_of(&heard.body, proved);
            }
            let wants_nonce = error_of(&heard.body).is_some_and(|(code, _)| code == "use_dpop_nonce");
            if !(proved && new && wants_nonce) {
                return Err(denied(&format!("the token endpoint of `{}`", shown(&server.issuer)), &heard));
            }
            self.says("it wants a nonce in proofs, which the next has (RFC 9449 8)");
        }
    }
}

fn places_of(places: &[Url]) -> String {
    places.iter().map(|place| shown(place.as_str())).collect::<Vec<_>>().join(", ")
}

/// A refusal of an endpoint.
fn denied(what: &str, heard: &Heard) -> ClientError {
    match error_of(&heard.body) {
        Some((code, said)) => ClientError::Denied { what: what.to_owned(), code, said },
        None => ClientError::Status { what: what.to_owned(), status: heard.status, said: String::new() },
    }
}
