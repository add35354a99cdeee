//! Where a listener may be: addresses, the rule about leaving the machine, and the bound socket.
//!
//! The rule is pure. Nothing is served here.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Why a listener cannot be where it was to be.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address.
    #[error(
        "{address:?} is not an address to listen on: {problem}; accepted: HOST:PORT, as in \"127.0.0.1:9100\" or \"[::1]:9100\""
    )]
    Address {
        /// What was given.
        address: String,
        /// Why not.
        problem: String,
    },
    /// Others could come there, and nothing would protect it.
    #[error(
        "{address} can be reached from other machines, and the node has {lacks}: {remedy}; or listen on a loopback \
         address, such as 127.0.0.1:{port}, and come through a tunnel or a proxy"
    )]
    Open {
        /// The first address that leaves the machine.
        address: SocketAddr,
        /// What is missing.
        lacks: &'static str,
        /// What to do.
        remedy: &'static str,
        /// Its port.
        port: u16,
    },
    /// Somebody else is there.
    #[error(
        "port {} is taken: another program, or another node, listens on {address}; stop it, or choose another port \
         (0 takes any free one)", address.port()
    )]
    Taken {
        /// Where.
        address: SocketAddr,
    },
    /// This user may not listen there.
    #[error(
        "this user may not listen on {address}: ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose one above"
    )]
    Forbidden {
        /// Where.
        address: SocketAddr,
    },
    /// The machine has no such address, or the system refuses.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket on which nothing is answered yet: connections wait.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Where it is, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn into_socket(self) -> TcpListener {
        self.socket
    }
}

/// The addresses that `address` (`HOST:PORT`) means. Blocks where it has to ask for a name.
pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, ListenError> {
    let failed = |problem: String| ListenError::Address { address: address.to_owned(), problem };
    let found: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() { Err(failed("the name has no address".to_owned())) } else { Ok(found) }
}

/// The rule: what can be reached from elsewhere needs TLS *and* somebody who may come in. Judges all addresses that a name
/// stands for, since any may be taken. Not for the management listener, which shows probes only.
pub fn permit(addresses: &[SocketAddr], tls: bool, tokens: usize) -> Result<(), ListenError> {
    const TLS: &str = "give it a certificate and key";
    const TOKEN: &str = "make one with `vortex-node token new`";
    let outside = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
    let (lacks, remedy) = match (outside, tls, tokens > 0) {
        (None, ..) | (Some(_), true, true) => return Ok(()),
        (Some(_), false, false) => (
            "no TLS and no token",
            "give it a certificate and key, and make a token with `vortex-node token new`",
        ),
        (Some(_), false, true) => ("no TLS", TLS),
        (Some(_), true, false) => ("no token", TOKEN),
    };
    outside.map_or(Ok(()), |&address| Err(ListenError::Open { address, lacks, remedy, port: address.port() }))
}

/// Binds the first of `addresses` that can be bound.
pub fn bind(addresses: &[SocketAddr]) -> Result<Listener, ListenError> {
    let mut failed = None;
    for &address in addresses {
        let bound = TcpListener::bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        match bound {
            Ok((address, socket)) => return Ok(Listener { socket, address }),
            Err(error) => failed = failed.or(Some((address, error))),
        }
    }
    let (address, source) = failed.unwrap_or_else(|| {
        (SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0), io::Error::other("no address was given"))
    });
    Err(match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address },
        io::ErrorKind::PermissionDenied => ListenError::Forbidden { address },
        _ => ListenError::Io { address, source },
    })
}

/// Whom an address stands for: whoever has one IPv6 address has the 2^64 around it as well.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Vec<SocketAddr> {
        vec![address.parse().unwrap()]
    }

    #[test]
    fn only_tls_and_a_token_let_a_listener_leave_the_machine() {
        for inside in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(permit(&at(inside), false, 0).is_ok(), "{inside}");
        }
        for outside in ["0.0.0.0:1", "[::]:1", "192.168.1.5:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(permit(&at(outside), true, 1).is_ok(), "{outside}");
            for (tls, tokens, lacks) in
                [(false, 0, "no TLS and no token"), (false, 1, "no TLS:"), (true, 0, "no token:")]
            {
                let error = permit(&at(outside), tls, tokens).unwrap_err().to_string();
                assert!(error.contains(lacks) && error.contains("loopback"), "{error}");
            }
        }
        // A name that means both: the worse one counts.
        let both = [at("127.0.0.1:1"), at("10.0.0.1:1")].concat();
        assert!(permit(&both, false, 0).unwrap_err().to_string().contains("10.0.0.1:1"));
    }

    #[test]
    fn a_name_is_judged_by_its_addresses() {
        let local = resolve("localhost:0").unwrap();
        assert!(permit(&local, false, 0).is_ok());
        for wrong in ["", "9100", "localhost", "127.0.0.1:99999", "no such name:1"] {
            let error = resolve(wrong).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_named_and_port_zero_is_told() {
        let first = bind(&at("127.0.0.1:0")).unwrap();
        assert_ne!(first.address().port(), 0);
        let error = bind(&[first.address()]).unwrap_err();
        assert!(matches!(error, ListenError::Taken { .. }));
        assert!(error.to_string().contains(&format!("port {} is taken", first.address().port())), "{error}");
        // The next address of a name is tried.
        let second = bind(&[first.address(), at("127.0.0.1:0")[0]]).unwrap();
        assert_ne!(second.address(), first.address());
        // TEST-NET-1 (RFC 5737) is on no machine.
        assert!(matches!(bind(&at("192.0.2.1:0")), Err(ListenError::Io { .. })));
        assert!(bind(&[]).is_err());
    }
}
