//! Which addresses of others may be connected to.
//!
//! A name is somebody else's word for an address, so that the address is judged and not the name: only global unicast
//! passes. IPv4 that is embedded in IPv6 is judged as itself. Sources: IANA's registries of special-purpose addresses
//! (RFC 6890 and what updates it), and the addresses at which clouds hand out credentials of the machine.

use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Longest entry of the allow list, in bytes.
const ALLOWED_BYTES_MAX: usize = 253;

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Of no network: `0.0.0.0/8`, `::`.
    Unspecified,
    /// This machine.
    Loopback,
    /// A network's own: RFC 1918, RFC 4193.
    Private,
    /// Of a provider's network: RFC 6598.
    Shared,
    /// The next cable: RFC 3927, RFC 4291.
    LinkLocal,
    /// Where a cloud answers its machines.
    Metadata,
    /// To many.
    Multicast,
    /// For documentation and measurements.
    Documentation,
    /// Tunnels and translators, whose true destination is elsewhere.
    Tunnel,
    /// For nobody yet, or for protocols.
    Reserved,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Range::Unspecified => "unspecified",
            Range::Loopback => "loopback",
            Range::Private => "private",
            Range::Shared => "shared (carrier-grade NAT)",
            Range::LinkLocal => "link-local",
            Range::Metadata => "cloud metadata",
            Range::Multicast => "multicast",
            Range::Documentation => "documentation or benchmark",
            Range::Tunnel => "tunnel",
            Range::Reserved => "reserved",
        })
    }
}

/// The range that keeps an address from being connected to; none for global unicast.
#[must_use]
pub fn judge(address: IpAddr) -> Option<Range> {
    match address {
        IpAddr::V4(address) => judge_v4(address),
        IpAddr::V6(address) => judge_v6(address),
    }
}

fn judge_v4(address: Ipv4Addr) -> Option<Range> {
    Some(match address.octets() {
        // The metadata services of AWS, Azure, Google, Oracle and others; AWS' task credentials; Azure's wire server;
        // Alibaba's; Oracle Classic's.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [168, 63, 129, 16]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192] => Range::Metadata,
        [0, ..] => Range::Unspecified,
        [127, ..] => Range::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Range::Private,
        [100, 64..=127, ..] => Range::Shared,
        [169, 254, ..] => Range::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] => Range::Documentation,
        [192, 88, 99, _] => Range::Tunnel,
        [224..=239, ..] => Range::Multicast,
        [192, 0, 0, _] | [240..=255, ..] => Range::Reserved,
        _ => return None,
    })
}

fn judge_v6(address: Ipv6Addr) -> Option<Range> {
    let embedded = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        judge_v4(Ipv4Addr::new(a, b, c, d))
    };
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Range::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Range::Loopback,
        // Mapped (RFC 4291, 2.5.5.2) and translated (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return embedded(high, low),
        // AWS and Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23 | 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Range::Metadata,
        // 6to4 (RFC 3056): judged by its IPv4 address first, for the better reason.
        [0x2002, high, low, ..] => embedded(high, low).unwrap_or(Range::Tunnel),
        // Teredo (RFC 4380), translation of a network's own (RFC 8215), IPv4-compatible.
        [0x2001, 0, ..] | [0x64, 0xff9b, 1, ..] | [0, 0, 0, 0, 0, 0, ..] => Range::Tunnel,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2001, 2, 0, ..] => Range::Documentation,
        [0x2001, 0..=0x1ff, ..] => Range::Reserved,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Range::Private,
        [0xfe80..=0xfebf, ..] => Range::LinkLocal,
        [0xff00..=0xffff, ..] => Range::Multicast,
        // ISATAP (RFC 5214) under any prefix.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => embedded(high, low).unwrap_or(Range::Tunnel),
        [0x2000..=0x3fff, ..] => return None,
        _ => Range::Reserved,
    })
}

/// What may be connected to although its address is special. Read from a setting: `10.1.0.0/16`, `10.1.2.3`,
/// `crm.corp.example`, `*.corp.example`, `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Addresses, whatever their name.
    Net(IpNet),
    /// A host, whatever its address, but for this machine's, the next cable's and metadata services.
    Host(String),
    /// All hosts below a name, likewise.
    Below(String),
}

/// An entry of the allow list that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no network, address or host; write `10.1.0.0/16`, `10.1.2.3`, `crm.corp.example` or `*.corp.example`"
)]
pub struct AllowedError(String);

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Allowed::Net(net) => net.fmt(f),
            Allowed::Host(name) => f.write_str(name),
            Allowed::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Allowed, AllowedError> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Allowed::Net(net.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Allowed::Net(IpNet::from(address)));
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // A last label of digits would be an address that was mistyped.
        let ends = name.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()));
        if name.len() > ALLOWED_BYTES_MAX || !name.split('.').all(label) || !ends {
            return Err(AllowedError(text.chars().take(ALLOWED_BYTES_MAX).collect()));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Allowed::Below(name) } else { Allowed::Host(name) })
    }
}

impl Allowed {
    /// Whether it is this machine and nothing else: then servers here may be asked over http too.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Allowed::Net(IpNet::V4(net)) => net.addr().is_loopback() && net.prefix_len() >= 8,
            Allowed::Net(IpNet::V6(net)) => net.addr().is_loopback() && net.prefix_len() == 128,
            Allowed::Host(name) => name == "localhost",
            Allowed::Below(_) => false,
        }
    }

    /// Whether it lets `host` be connected to at an address of this range.
    pub(super) fn lets(&self, host: &str, address: IpAddr, range: Range) -> bool {
        let of_a_host = !matches!(range, Range::Loopback | Range::LinkLocal | Range::Metadata | Range::Unspecified);
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Allowed::Net(net) => net.contains(&address) || canonical(address).is_some_and(|v4| net.contains(&v4)),
            Allowed::Host(name) => of_a_host && host.eq_ignore_ascii_case(name),
            Allowed::Below(name) => {
                let host = host.to_ascii_lowercase();
                of_a_host && host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

/// The IPv4 address that a mapped one stands for: systems connect to it as if it were that.
fn canonical(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(address: &str) -> Option<Range> {
        judge(address.parse().unwrap())
    }

    #[test]
    fn only_global_unicast_passes() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(range(address), None, "{address}");
        }
        for (address, expected) in [
            ("0.0.0.0", Range::Unspecified),
            ("0.1.2.3", Range::Unspecified),
            ("::", Range::Unspecified),
            ("127.0.0.1", Range::Loopback),
            ("127.255.0.9", Range::Loopback),
            ("::1", Range::Loopback),
            ("10.0.0.1", Range::Private),
            ("172.16.0.1", Range::Private),
            ("172.31.255.255", Range::Private),
            ("192.168.0.1", Range::Private),
            ("fc00::1", Range::Private),
            ("fdff::1", Range::Private),
            ("fec0::1", Range::Private),
            ("100.64.0.1", Range::Shared),
            ("100.127.255.255", Range::Shared),
            ("169.254.1.1", Range::LinkLocal),
            ("fe80::1", Range::LinkLocal),
            ("febf::1", Range::LinkLocal),
            ("169.254.169.254", Range::Metadata),
            ("169.254.170.2", Range::Metadata),
            ("168.63.129.16", Range::Metadata),
            ("100.100.100.200", Range::Metadata),
            ("fd00:ec2::254", Range::Metadata),
            ("fd20:ce::254", Range::Metadata),
            ("224.0.0.1", Range::Multicast),
            ("239.1.1.1", Range::Multicast),
            ("ff02::1", Range::Multicast),
            ("192.0.2.1", Range::Documentation),
            ("198.51.100.1", Range::Documentation),
            ("203.0.113.9", Range::Documentation),
            ("198.18.0.1", Range::Documentation),
            ("2001:db8::1", Range::Documentation),
            ("3fff::1", Range::Documentation),
            ("192.0.0.8", Range::Reserved),
            ("240.0.0.1", Range::Reserved),
            ("255.255.255.255", Range::Reserved),
            ("100::1", Range::Reserved),
            ("5f00::1", Range::Reserved),
            ("4000::1", Range::Reserved),
            ("2001:10::1", Range::Reserved),
            ("192.88.99.1", Range::Tunnel),
            ("2001:0:1::1", Range::Tunnel),
            ("64:ff9b:1::1", Range::Tunnel),
            ("::8.8.8.8", Range::Tunnel),
            ("2002:808:808::1", Range::Tunnel),
        ] {
            assert_eq!(range(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn embedded_addresses_are_judged_as_themselves() {
        for (v4, expected) in [
            ("127.0.0.1", Range::Loopback),
            ("10.1.2.3", Range::Private),
            ("169.254.169.254", Range::Metadata),
            ("100.64.0.1", Range::Shared),
        ] {
            let [a, b, c, d] = v4.parse::<Ipv4Addr>().unwrap().octets();
            for address in [
                format!("::ffff:{v4}"),
                format!("64:ff9b::{v4}"),
                format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
                format!("2606:4700::5efe:{v4}"),
                format!("2606:4700::200:5efe:{v4}"),
            ] {
                assert_eq!(range(&address), Some(expected), "{address}");
            }
        }
    }

    #[test]
    fn the_allow_list_says_what_it_lets() {
        let lets = |entry: &str, host: &str, address: &str| {
            let address: IpAddr = address.parse().unwrap();
            entry.parse::<Allowed>().unwrap().lets(host, address, judge(address).unwrap())
        };
        assert!(lets("10.1.0.0/16", "any.example", "10.1.2.3") && lets("10.1.2.3", "x", "10.1.2.3"));
        assert!(lets("10.1.0.0/16", "x", "::ffff:10.1.2.3") && lets("169.254.169.254", "x", "169.254.169.254"));
        assert!(!lets("10.1.0.0/16", "x", "10.2.2.3") && !lets("10.1.2.3", "x", "10.1.2.4"));
        assert!(lets("crm.corp.example", "CRM.corp.example.", "10.0.0.1"));
        assert!(!lets("crm.corp.example", "x.crm.corp.example", "10.0.0.1"));
        assert!(lets("*.corp.example", "a.b.Corp.example", "10.0.0.1"));
        assert!(
            !lets("*.corp.example", "corp.example", "10.0.0.1") && !lets("*.corp.example", "xcorp.example", "10.0.0.1")
        );
        for address in ["127.0.0.1", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(!lets("crm.corp.example", "crm.corp.example", address), "a host is not let to {address}");
        }
        for here in ["localhost", "LocalHost", "127.0.0.1", "127.0.0.0/8", "::1"] {
            assert!(here.parse::<Allowed>().unwrap().is_here(), "{here}");
        }
        for elsewhere in ["0.0.0.0/0", "126.0.0.0/7", "10.0.0.1", "::/0", "*.localhost", "localhost.example"] {
            assert!(!elsewhere.parse::<Allowed>().unwrap().is_here(), "{elsewhere}");
        }
        for bad in
            ["", "*", "*.", "10.1.0.0/33", "10.1.2", "300.1.2.3", "a..b", "https://x.example", "x.example:443", "a b"]
        {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }
}
