//! Rates of attempts, per account and per network address.
//!
//! Each key has a theoretical arrival time (the generic cell rate algorithm): an attempt moves it on by the period, and is
//! refused while it is further ahead than the burst allows. The table is of one size and never grows: [`KEYS_MAX`] keys in
//! sets of [`SET_KEYS`]. A new key takes the place of the one in its set that is nearest to forgiven, so that a flood of
//! addresses pushes out its like and not the few that are held up. Which set a key is in, nobody outside can tell.
//!
//! It is in memory: a restart forgives. What must hold over a restart, as that a code is used once, is in records.

use crate::tuple::Timestamp;
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

/// Most keys that are remembered.
pub const KEYS_MAX: usize = SETS * SET_KEYS;
/// Keys of a set.
pub(super) const SET_KEYS: usize = 8;
const SETS: usize = 8_192;
/// Locks that the sets share.
const SHARDS: usize = 16;
const _: () = assert!(SETS.is_multiple_of(SHARDS), "every shard has as many sets");

const SECOND: i64 = 1_000_000_000;

/// How often a thing may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many times at once.
    pub burst: u32,
    /// Then one every so many seconds.
    pub period_seconds: u32,
}

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

/// Who is held up may try again after so many whole seconds; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {retry_seconds} s")]
pub struct Limited {
    /// For the `Retry-After` header.
    pub retry_seconds: u32,
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
            address: Rate { burst: 30, period_seconds: 5 },
            password: Rate { burst: 10, period_seconds: 150 },
            code: Rate { burst: 5, period_seconds: 300 },
            begin: Rate { burst: 60, period_seconds: 1 },
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// 0 is an empty slot.
    key: u64,
    /// When the key is forgiven all, in nanoseconds since 1970.
    free_at: i64,
}

type Shard = Vec<[Slot; SET_KEYS]>;

/// See the file's head.
pub struct Limiter {
    rates: Rates,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

impl Limiter {
    /// An empty table. The hasher's keys are random, so that nobody can choose keys that push out another.
    #[must_use]
    pub fn new(rates: Rates, hasher: RandomState) -> Limiter {
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![[Slot::default(); SET_KEYS]; SETS / SHARDS])).collect();
        Limiter { rates, hasher, shards }
    }

    /// Counts an attempt before it is made, so that none is made that is over the rate, however many come at once.
    ///
    /// # Errors
    /// It is over the rate; it was not counted.
    pub fn count(&self, attempt: Attempt, tenant: u32, key: &str, now: Timestamp) -> Result<(), Limited> {
        let rate = self.rate(attempt);
        let period = i64::from(rate.period_seconds) * SECOND;
        let ahead_max = period * i64::from(rate.burst.max(1));
        let counted = self.at(attempt, tenant, key, |slot| {
            let after = slot.free_at.max(now.0).saturating_add(period);
            let over = after.saturating_sub(now.0).saturating_sub(ahead_max);
            if over > 0 {
                let seconds = over.saturating_add(SECOND - 1) / SECOND;
                return Err(Limited { retry_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) });
            }
            slot.free_at = after;
            Ok(())
        });
        counted.unwrap_or(Err(Limited { retry_seconds: rate.period_seconds.max(1) })) // a slot that is not there lets nobody in
    }

    /// Takes one count back: the attempt was right, and those that were right are no guesses.
    pub fn forgive(&self, attempt: Attempt, tenant: u32, key: &str) {
        let period = i64::from(self.rate(attempt).period_seconds) * SECOND;
        let _ = self.at(attempt, tenant, key, |slot| slot.free_at = slot.free_at.saturating_sub(period));
    }

    fn rate(&self, attempt: Attempt) -> Rate {
        match attempt {
            Attempt::Address => self.rates.address,
            Attempt::Password => self.rates.password,
            Attempt::Code => self.rates.code,
            Attempt::Begin => self.rates.begin,
        }
    }

    /// Does something with the slot of a key, which may have been another's.
    fn at<T>(&self, attempt: Attempt, tenant: u32, key: &str, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let key = self.hasher.hash_one((attempt, tenant, key)).max(1);
        let set = usize::try_from(key % SETS as u64).unwrap_or(0);
        let mut shard = self.shards.get(set % SHARDS)?.lock();
        let set = shard.get_mut(set / SHARDS)?;
        let place = set.iter().position(|slot| slot.key == key).unwrap_or_else(|| {
            let nearest = set.iter().enumerate().min_by_key(|(_, slot)| slot.free_at);
            nearest.map_or(0, |(place, _)| place)
        });
        let slot = set.get_mut(place)?;
        if slot.key != key {
            *slot = Slot { key, free_at: 0 };
        }
        Some(work(slot))
    }
}

/// What an address counts as: an IPv6 network of 64 bits is one household or one machine, and has addresses without end.
#[must_use]
pub(super) fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * SECOND)
    }

    fn limiter() -> Limiter {
        Limiter::new(Rates { password: Rate { burst: 3, period_seconds: 60 }, ..Rates::default() }, RandomState::new())
    }

    #[test]
    fn a_burst_then_one_a_period() {
        let limiter = limiter();
        let count = |seconds| limiter.count(Attempt::Password, 1, "sarah", at(seconds));
        assert_eq!([count(0), count(0), count(0)], [Ok(()); 3]);
        assert_eq!(count(0), Err(Limited { retry_seconds: 60 }));
        assert_eq!(count(59), Err(Limited { retry_seconds: 1 }), "what was refused does not count");
        assert_eq!([count(60), count(61)], [Ok(()), Err(Limited { retry_seconds: 59 })]);
        assert_eq!(
            [count(240), count(240), count(240)],
            [Ok(()); 3],
            "a quiet time forgives all, and no more than all"
        );
        assert!(count(240).is_err());
    }

    #[test]
    fn keys_tenants_and_attempts_count_apart_and_what_was_right_does_not() {
        let limiter = limiter();
        for _ in 0..3 {
            limiter.count(Attempt::Password, 1, "sarah", at(0)).unwrap();
        }
        assert!(limiter.count(Attempt::Password, 1, "sarah", at(0)).is_err());
        assert_eq!(limiter.count(Attempt::Password, 2, "sarah", at(0)), Ok(()));
        assert_eq!(limiter.count(Attempt::Password, 1, "bob", at(0)), Ok(()));
        assert_eq!(limiter.count(Attempt::Code, 1, "sarah", at(0)), Ok(()));
        limiter.forgive(Attempt::Password, 1, "sarah");
        assert_eq!(limiter.count(Attempt::Password, 1, "sarah", at(0)), Ok(()));
        for _ in 0..10 {
            limiter.forgive(Attempt::Password, 1, "sarah");
        }
        for _ in 0..3 {
            limiter.count(Attempt::Password, 1, "sarah", at(0)).unwrap();
        }
        assert!(limiter.count(Attempt::Password, 1, "sarah", at(0)).is_err(), "forgiveness does not pile up");
    }

    #[test]
    fn a_flood_of_keys_does_not_free_who_is_held_up() {
        let limiter = limiter();
        for _ in 0..3 {
            limiter.count(Attempt::Password, 1, "sarah", at(0)).unwrap();
        }
        for i in 0..4 * KEYS_MAX {
            let _ = limiter.count(Attempt::Password, 1, &i.to_string(), at(0));
        }
        assert_eq!(limiter.count(Attempt::Password, 1, "sarah", at(0)), Err(Limited { retry_seconds: 60 }));
    }

    #[test]
    fn a_network_of_ipv6_is_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
