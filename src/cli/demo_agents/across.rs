//! 4: the prices are another domain's. The agent gets an assertion at Acme (ID-JAG) and a token for it there, which reads.

use super::Story;
use super::app::{no, ok, text};
use super::keys::{claims, header};
use super::tell::expect;
use super::web::{Ask, Heard};
use super::world::AGENT_THERE;
use crate::cli::Failure;
use bailiwick::modules::exchange::{ID_JAG, ID_JAG_TYP, JWT_BEARER, TOKEN_EXCHANGE};
use serde_json::{Value, json};

/// Types of tokens in an exchange (RFC 8693 3).
pub(super) const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const ID: &str = "urn:ietf:params:oauth:token-type:id_token";

impl Story {
    pub(super) fn goes_across(&mut self) -> Result<(), Failure> {
        let places = self.world.places.clone();
        self.teller.step("4.1", "The price of 1,500 seats is in another domain, which believes its own server alone");
        let url = format!("{}/prices/platform", places.prices);
        let there = self.agent.at(AGENT_THERE, &places.pricing);
        let ours = text(&self.signed_in, "access_token");
        let refused = no("a foreign token", &there.send(Ask::get(&url).bearer(&ours))?, (401, "invalid_token"))?;
        self.teller.refused("agent", "shows the pricing service its token of Acme", &refused);
        self.teller.step("4.2", "It asks Acme for an assertion about Sarah, for that domain");
        let heard = self.assertion(&["pricing:read pricing:write pricing:admin"], &places.pricing)?;
        self.teller.says("agent", "token exchange: her ID token for an id-jag, audience PRICES, three scopes");
        let assertion = ok("an assertion", &heard)?;
        let jag = text(&assertion, "access_token");
        self.teller.step("4.3", "Acme decides: its ID token, its managed connection, its classes of scopes");
        expect(text(&assertion, "scope") == "pricing:read", || {
            format!("only pricing:read should be had: {assertion}")
        })?;
        self.teller.allowed(
            "agent",
            "pricing:read, of pricing:read, pricing:write and pricing:admin",
            "connection pricing: \
            read is automatic for the agent; write is never, admin is not known there; what is left out is in the log",
        );
        let said = claims(&jag);
        let of = |name: &str| said.get(name).cloned().unwrap_or_default();
        expect(header(&jag).get("typ") == Some(&json!(ID_JAG_TYP)) && of("aud") == json!(places.pricing), || {
            format!("{said:?}")
        })?;
        let life = of("exp").as_u64().unwrap_or(0).saturating_sub(of("iat").as_u64().unwrap_or(0));
        self.teller.says(
            "",
            &format!("{ID_JAG_TYP}: sub {}, client_id {}, act {}, for {life} s", of("sub"), of("client_id"), of("act"))
                .replace('"', ""),
        );
        self.other_ways(&places.pricing)?;
        self.redeems(&there, &jag, &url)
    }

    fn assertion(&self, scope: &[&str], audience: &str) -> Result<Heard, Failure> {
        let id = text(&self.signed_in, "id_token");
        self.exchange(&id, ID, &[("requested_token_type", ID_JAG), ("audience", audience), ("scope", &scope.join(" "))])
    }

    /// A token exchange by the agent (RFC 8693).
    pub(super) fn exchange(&self, token: &str, kind: &str, more: &[(&str, &str)]) -> Result<Heard, Failure> {
        let pairs = [("grant_type", TOKEN_EXCHANGE), ("subject_token", token), ("subject_token_type", kind)];
        self.agent.token(&[&pairs, more].concat())
    }

    /// What is refused: a scope that is never had alone, and a domain to which no connection leads.
    fn other_ways(&mut self, pricing: &str) -> Result<(), Failure> {
        let never = no("pricing:write", &self.assertion(&["pricing:write"], pricing)?, (400, "invalid_scope"))?;
        let never = self.with_rule(never)?;
        self.teller.refused("agent", "asks for pricing:write alone", &never);
        let heard = self.assertion(&["pricing:read"], "https://partner.example")?;
        let nowhere = no("a domain without a connection", &heard, (400, "invalid_target"))?;
        let nowhere = self.with_rule(nowhere)?;
        self.teller.refused("agent", "asks for https://partner.example, to which no connection leads", &nowhere);
        Ok(())
    }

    fn redeems(&mut self, there: &super::app::App, jag: &str, url: &str) -> Result<(), Failure> {
        self.teller.step("4.4", "The other domain verifies it, and gives a token of its own");
        let pairs = [("grant_type", JWT_BEARER), ("assertion", jag)];
        let given = ok("a token there", &there.token(&pairs)?)?;
        let token = text(&given, "access_token");
        let signed = claims(&token);
        let of = |name: &str| signed.get(name).cloned().unwrap_or_default();
        self.teller.allowed(
            "agent",
            &format!("a token of the pricing domain: sub {}, scope {}, act {}", of("sub"), of("scope"), of("act"))
                .replace('"', ""),
            "signature by Acme's keys, typ, aud, client_id, jti, life; Sarah is s-chen there by her verified address",
        );
        let again = no("the same assertion", &there.token(&pairs)?, (400, "invalid_grant"))?;
        let again = self.with_rule_of(again, &self.world.pricing)?;
        self.teller.refused("agent", "redeems the same assertion once more", &again);
        let price: Value = ok("the price", &there.send(Ask::get(url).bearer(&token))?)?;
        expect(text(&price, "total_usd") == "450000.00", || format!("{price}"))?;
        self.teller.allowed(
            "agent",
            "reads the price: 1,500 seats, $450,000",
            "scope pricing:read; the service asked its own server (introspection)",
        );
        let body = json!({"seat_usd": "1.00"});
        let write =
            no("a new price", &there.send(Ask::json("PUT", url, &body).bearer(&token))?, (403, "insufficient_scope"))?;
        self.teller.refused("agent", "sets the price", &write);
        self.keeps_secret("the token of the pricing domain", token, &["agent", "prices"]);
        self.keeps_secret("the assertion", jag, &["agent"]);
        Ok(())
    }
}
