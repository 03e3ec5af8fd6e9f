//! Proof of possession (RFC 9449): a client shows with each request that it has a key, and its tokens are of use with that
//! key alone.

use super::proof::{judge_proof, refuse};
use super::{Answer, Change, Env, Proof, Proved, Refusal, Seconds, Stored, Tenant, hash_of};
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
        let judged = self.judged_proof(proof, of, env)?;
        let mut change = self.change(env);
        self.use_up(&mut change, &judged);
        change.commit().map_err(|refusal| if refusal.is_stale() { replayed() } else { refusal })?;
        Ok(judged.jkt)
    }

    /// Judges the proof of a request of somebody who has shown nothing else yet, and writes nothing: it is used up in the write
    /// that gives something for it ([`Env::proof`]). Until then it is remembered in memory, as well as that goes, so that nobody
    /// fills the store with proofs.
    ///
    /// # Errors
    /// As [`Tenant::check_proof`].
    pub fn take_proof(&self, proof: &str, of: &Proved<'_>, env: &Env<'_>) -> Answer<Proof> {
        let judged = self.judged_proof(proof, of, env)?;
        if self.is_used(&judged)? || !self.is_first(&judged, env) {
            return Err(replayed());
        }
        Ok(judged)
    }

    /// Adds to a change that the proof with which it was asked for, if there was one, is used.
    pub(super) fn use_proof(&self, change: &mut Change<'_>, env: &Env<'_>) {
        if let Some(proof) = env.proof {
            self.use_up(change, proof);
        }
    }

    /// Writes that the proof of a request is used, where what was given for it was no write of this room's.
    ///
    /// # Errors
    /// It was used meanwhile, or the disk failed.
    pub fn keep_proof(&self, env: &Env<'_>) -> Answer<()> {
        let Some(proof) = env.proof else { return Ok(()) };
        if self.is_used(proof)? {
            return Ok(());
        }
        let mut change = self.change(env);
        self.use_up(&mut change, proof);
        change.commit().map_err(|refusal| if refusal.is_stale() { replayed() } else { refusal })?;
        Ok(())
    }

    fn judged_proof(&self, proof: &str, of: &Proved<'_>, env: &Env<'_>) -> Answer<Proof> {
        let judged = judge_proof(proof, of, env.seconds());
        // Where certificates are shown, a client names the port at which it is.
        let elsewhere = self.mutual_tls_of(of.url).filter(|_| judged.as_ref().is_err_and(|r| r.rule == "dpop.htu"));
        match &elsewhere {
            Some(url) => judge_proof(proof, &Proved { url, ..*of }, env.seconds()),
            None => judged,
        }
    }

    fn is_used(&self, proof: &Proof) -> Answer<bool> {
        Ok(self.get::<UsedProof>(&[&proof.jkt, &hash_of(&proof.jti)])?.is_some())
    }

    /// Adds to a change that a proof is used; it fails if it was.
    fn use_up(&self, change: &mut Change<'_>, proof: &Proof) {
        let part = hash_of(&proof.jti);
        change.create(&[&proof.jkt, &part], &UsedProof { until: proof.until });
        change.expires::<UsedProof>(&[&proof.jkt, &part], proof.until, None);
    }
}

fn replayed() -> Refusal {
    refuse("dpop.replayed", "it was used before")
}
