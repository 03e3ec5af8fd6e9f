//! Proof of possession (RFC 9449): a client shows with each request that it has a key, and its tokens are of use with that
//! key alone.

use super::proof::{judge_proof, refuse};
use super::{Answer, Env, Proved, Seconds, Stored, Tenant, hash_of};
use serde::{Deserialize, Serialize};

/// A proof that was used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedProof {
    until: Seconds,
}

impl Stored for UsedProof {
    const SORT: u8 = b'D';
    const WHAT: &'static str = "used proof";
}

impl Tenant {
    /// Judges the proof of a request, and answers the thumbprint of its key. A proof is used once.
    ///
    /// # Errors
    /// [`super::ErrorCode::InvalidDpopProof`], with the rule that refused.
    pub fn check_proof(&self, proof: &str, of: &Proved<'_>, env: &Env<'_>) -> Answer<String> {
        let judged = judge_proof(proof, of, env.seconds());
        // Where certificates are shown, a client names the port at which it is.
        let elsewhere = self.mutual_tls_of(of.url).filter(|_| judged.as_ref().is_err_and(|r| r.rule == "dpop.htu"));
        let judged = match &elsewhere {
            Some(url) => judge_proof(proof, &Proved { url, ..*of }, env.seconds())?,
            None => judged?,
        };
        let (jkt, until, part) = (judged.jkt, judged.until, hash_of(&judged.jti));
        let mut change = self.change(env);
        change.create(&[&jkt, &part], &UsedProof { until });
        change.expires::<UsedProof>(&[&jkt, &part], until, None);
        change.commit().map_err(|refusal| {
            if refusal.is_stale() { refuse("dpop.replayed", "it was used before") } else { refusal }
        })?;
        Ok(jkt)
    }
}
