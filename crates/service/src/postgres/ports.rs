//! Ports for servers: one that is free, and as far as possible the same from start to start.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::{Error, Result};

/// Where ports for servers begin; up to here are those of well-known services.
const FIRST: u16 = 15_000;
/// How many are looked at before the system is asked for any.
const LOOKS: u64 = 100;

/// A port on 127.0.0.1 that nothing listens on now.
///
/// It is below those that the system gives to outgoing connections, of which one could have it at
/// the next start. `seed` tells where to look first, so that branches seldom meet.
pub(super) fn free(seed: &str) -> Result<u16> {
    let end = first_of_the_systems().max(FIRST + 1);
    for look in 0..LOOKS {
        let digest = xxh3_64(format!("{seed} {look}").as_bytes());
        let port = FIRST + (digest % u64::from(end - FIRST)) as u16;
        if is_free(port) {
            return Ok(port);
        }
    }
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|any| any.local_addr());
    any.map(|address| address.port()).map_err(|error| Error::io("finding a free port", error))
}

/// Returns `true` if a server could listen there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns `true` if another program listens there. A port may be neither free nor taken: the first
/// ones are for root alone.
pub(super) fn is_taken(port: u16) -> bool {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Returns `true` if only root may listen there, which no server runs as.
pub(super) fn is_for_root(port: u16) -> bool {
    const USUAL: u16 = 1024;
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    port < first.ok().and_then(|first| first.trim().parse().ok()).unwrap_or(USUAL)
}

fn first_of_the_systems() -> u16 {
    const USUAL: u16 = 32_768;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_same_until_it_is_taken() {
        let port = free("branch").unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port) && is_taken(port));
        assert_ne!(free("branch").unwrap(), port);
        drop(taken);
        assert!(!is_taken(port));
        assert_ne!(free("another").unwrap(), port);
    }
}
