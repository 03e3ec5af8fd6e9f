//! Randomness, from the system. The only place that draws what must not be guessed; below this room it is an argument.

/// Fills bytes with what nobody can guess.
///
/// A system that gives none cannot make a single secret, so the process ends.
pub fn random(bytes: &mut [u8]) {
    if aws_lc_rs::rand::fill(bytes).is_err() {
        tracing::error!("the system gives no randomness; nothing secret can be made without it");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_fills_and_does_not_repeat() {
        let (mut a, mut b) = ([0_u8; 32], [0_u8; 32]);
        super::random(&mut a);
        super::random(&mut b);
        assert!(a != b && a != [0; 32]);
    }
}
