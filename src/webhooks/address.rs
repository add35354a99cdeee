//! Which IP addresses are the public Internet's, by IANA's registries of special-purpose addresses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where Azure's machines find their host's agent: a public address by its number, and never a receiver.
const AZURE_AGENT: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Where Alibaba's machines find their metadata.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Where Oracle's machines find their metadata.
const ORACLE_METADATA: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 192);
/// Where Amazon's machines find their metadata by IPv6.
const AMAZON_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Where Google's machines find their metadata by IPv6.
const GOOGLE_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// IPv4 blocks that are not the public Internet's, with what they are (RFC 6890 and its registry).
const V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    // Multicast (224/4), reserved (240/4) and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3, "multicast or reserved"),
];

/// IPv6 blocks that are not the public Internet's; what is outside of `2000::/3` is not either, named or not.
const V6: [(Ipv6Addr, u32, &str); 10] = [
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "private (local-use NAT64)"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols (Teredo, ORCHID, benchmarks)"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "reserved for protocols"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private (unique local)"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "private (site-local)"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// What `address` is, where it is not the public Internet's.
pub(super) fn not_public(address: IpAddr) -> Option<&'static str> {
    if let Some(what) = metadata(address) {
        return Some(what);
    }
    match carried(address) {
        IpAddr::V4(address) => v4_block(address),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("unspecified"),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some("loopback"),
        IpAddr::V6(address) => v6_block(address).or_else(|| {
            let global = address.segments()[0] & 0xe000 == 0x2000;
            (!global).then_some("reserved")
        }),
    }
}

/// What `address` is, where even a name that the settings allow may not lead to it: nothing there receives webhooks, and
/// some of it gives away a machine's credentials.
pub(super) fn never_meant(address: IpAddr) -> Option<&'static str> {
    if let Some(what) = metadata(address) {
        return Some(what);
    }
    let not_meant = match carried(address) {
        IpAddr::V4(address) => {
            address.octets()[0] == 0 || address.is_link_local() || address.octets()[0] >= 224
        }
        IpAddr::V6(address) => {
            address.is_unspecified() || address.is_unicast_link_local() || address.is_multicast()
        }
    };
    if not_meant { not_public(address) } else { None }
}

/// The IPv4 address that an IPv6 address only carries (mapped, compatible, or by NAT64), else `address` itself.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., high, low] = v6.segments();
    let embedded = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let carries = match v6.segments() {
        // IPv4-mapped ::ffff:0:0/96 and -translated ::ffff:0:0:0/96.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => true,
        // IPv4-compatible ::/96, but for :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] => high != 0 || low > 1,
        // NAT64's well-known prefix: how machines without IPv4 reach IPv4.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        _ => false,
    };
    if carries { IpAddr::V4(embedded) } else { address }
}

fn metadata(address: IpAddr) -> Option<&'static str> {
    let is = match carried(address) {
        IpAddr::V4(v4) => [AZURE_AGENT, ALIBABA_METADATA, ORACLE_METADATA].contains(&v4),
        IpAddr::V6(v6) => [AMAZON_METADATA, GOOGLE_METADATA].contains(&v6),
    };
    is.then_some("a cloud's metadata service")
}

fn v4_block(address: Ipv4Addr) -> Option<&'static str> {
    let within = |start: Ipv4Addr, bits: u32| (address.to_bits() ^ start.to_bits()) >> (32 - bits) == 0;
    V4.iter().find(|(start, bits, _)| within(*start, *bits)).map(|(_, _, what)| *what)
}

fn v6_block(address: Ipv6Addr) -> Option<&'static str> {
    let within = |start: Ipv6Addr, bits: u32| (address.to_bits() ^ start.to_bits()) >> (128 - bits) == 0;
    V6.iter().find(|(start, bits, _)| within(*start, *bits)).map(|(_, _, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One address or more of each block, its first and its last.
    const NOT_PUBLIC: &str = "0.0.0.0 0.1.2.3 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 \
        100.100.100.200 127.0.0.0 127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.170.2 \
        169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255 \
        192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.255.255 192.175.48.1 198.18.0.0 198.19.255.255 \
        198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 \
        255.255.255.255 :: ::1 ::2 ::ffff ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 \
        64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 64:ff9b::1:808:808 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 \
        2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1 2001:db8:ffff::1 2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1 \
        3fff:fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fdff:ffff::1 fe80::1 febf::1 fec0::1 feff::1 ff02::1 ffff::1 1::1";
    /// Neighbours of those blocks, and well-known public services.
    const PUBLIC: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 \
        198.20.0.0 203.0.112.255 203.0.114.0 223.255.255.255 168.63.129.15 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1 \
        2001:4860:4860::8888 2001:db7::1 2001:db9::1 2003::1 2606:4700:4700::1111 2620:4f:8001::1 3ffe::1 3fff:1000::1";

    #[test]
    fn every_special_block_is_told_from_its_neighbours() {
        for address in NOT_PUBLIC.split_whitespace() {
            assert!(not_public(address.parse().unwrap()).is_some(), "{address} passes for public");
        }
        for address in PUBLIC.split_whitespace() {
            assert_eq!(not_public(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn allowed_names_may_lead_to_private_addresses_but_never_to_metadata() {
        for private in [
            "10.0.0.1",
            "127.0.0.1",
            "192.168.7.7",
            "fd12::1",
            "::1",
            "100.64.0.9",
            "8.8.8.8",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(never_meant(private.parse().unwrap()), None, "{private}");
        }
        for never in
            "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 \
             fd20:ce::254 0.0.0.0 :: fe80::1 224.0.0.1 255.255.255.255 ff02::1"
                .split_whitespace()
        {
            assert!(never_meant(never.parse().unwrap()).is_some(), "{never}");
        }
    }
}
