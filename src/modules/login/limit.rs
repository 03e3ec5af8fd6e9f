//! Rates of attempts, per account and per network address.

use crate::identity::{Limited, Rate};
use crate::tuple::Timestamp;
use std::hash::RandomState;

/// What is counted: the same key at two of them counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// Any attempt from a network address.
    Address,
    /// A password for an account, from anywhere.
    Password,
    /// A second factor of an account.
    Code,
    /// The begin of something that costs us, from an address: a ceremony, a link.
    Begin,
}

/// How often each thing may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// [`Attempt::Address`].
    pub address: Rate,
    /// [`Attempt::Password`].
    pub password: Rate,
    /// [`Attempt::Code`].
    pub code: Rate,
    /// [`Attempt::Begin`].
    pub begin: Rate,
}

impl Default for Rates {
    /// A password: ten at once, then 24 an hour. A code: five at once, then 12 an hour, so that of three good ones among a
    /// million an attacker who knows the password finds one in a day with odds of 1 in 1,100.
    fn default() -> Rates {
        Rates {
            address: Rate { burst: 30, period_ms: 5_000 },
            password: Rate { burst: 10, period_ms: 150_000 },
            code: Rate { burst: 5, period_ms: 300_000 },
            begin: Rate { burst: 60, period_ms: 1_000 },
        }
    }
}

/// Counts attempts by their rates.
pub struct Limiter {
    rates: Rates,
    table: crate::identity::Limiter,
}

impl Limiter {
    /// Nothing is counted yet. The hasher's keys are random, so that nobody can choose keys that push out another.
    #[must_use]
    pub fn new(rates: Rates, hasher: RandomState) -> Limiter {
        Limiter { rates, table: crate::identity::Limiter::new(hasher) }
    }

    /// Counts an attempt before it is made.
    ///
    /// # Errors
    /// It is over the rate; it was not counted.
    pub fn count(&self, attempt: Attempt, tenant: u32, key: &str, now: Timestamp) -> Result<(), Limited> {
        self.table.count(self.rate(attempt), (attempt, tenant, key), now)
    }

    /// Takes one count back: the attempt was right, and those that were right are no guesses.
    pub fn forgive(&self, attempt: Attempt, tenant: u32, key: &str) {
        self.table.forgive(self.rate(attempt), (attempt, tenant, key));
    }

    fn rate(&self, attempt: Attempt) -> Rate {
        match attempt {
            Attempt::Address => self.rates.address,
            Attempt::Password => self.rates.password,
            Attempt::Code => self.rates.code,
            Attempt::Begin => self.rates.begin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tenants_and_attempts_count_apart() {
        let rates = Rates { password: Rate { burst: 3, period_ms: 60_000 }, ..Rates::default() };
        let limiter = Limiter::new(rates, RandomState::new());
        let now = Timestamp(1_700_000_000_000_000_000);
        for _ in 0..3 {
            limiter.count(Attempt::Password, 1, "sarah", now).unwrap();
        }
        assert!(limiter.count(Attempt::Password, 1, "sarah", now).is_err());
        assert_eq!(limiter.count(Attempt::Password, 2, "sarah", now), Ok(()));
        assert_eq!(limiter.count(Attempt::Password, 1, "bob", now), Ok(()));
        assert_eq!(limiter.count(Attempt::Code, 1, "sarah", now), Ok(()));
        limiter.forgive(Attempt::Password, 1, "sarah");
        assert_eq!(limiter.count(Attempt::Password, 1, "sarah", now), Ok(()));
    }
}
