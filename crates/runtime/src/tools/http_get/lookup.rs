//! From a name to addresses: the port, and the resolver of the machine behind it.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// Most lookups at once. Each has a thread until the resolver of the machine gives up, which may be long
/// after the call did.
const LOOKUPS_MAX: usize = 32;

/// The addresses of a name, some time.
pub type LookupFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of names. It is asked once a call; what it says is checked, and nothing else is
/// connected to.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// Returns the addresses of a name.
    fn lookup<'a>(&'a self, name: &'a str) -> LookupFuture<'a>;
}

/// The resolver of the machine.
#[derive(Clone, Debug)]
pub(super) struct MachineLookup(Arc<Semaphore>);

impl Default for MachineLookup {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
}

impl Lookup for MachineLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let free = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                // Only now: an abandoned lookup still has its thread.
                drop(free);
                found.map(|it| it.map(|it| it.ip()).collect())
            });
            found.await.map_err(io::Error::other)?
        })
    }
}

/// The addresses of one name, and nothing else: whoever asks for another name is refused. There is
/// nobody behind it who could be asked instead (H2).
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) name: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let found = if name.as_str() == self.name {
            Ok(Box::new(self.addresses.clone().into_iter()) as Addrs)
        } else {
            Err(format!("`{}` was not checked, only `{}` was", name.as_str(), self.name).into())
        };
        Box::pin(async move { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_was_not_checked_has_no_address() {
        let addresses = vec!["192.0.2.1:80".parse().unwrap()];
        let pinned = Pinned { name: "a.example".to_owned(), addresses: addresses.clone() };
        let found = pinned.resolve("a.example".parse().unwrap()).await.unwrap();
        assert_eq!(found.collect::<Vec<_>>(), addresses);
        for other in ["localhost", "A.example", "a.example.", "b.a.example", "127.0.0.1"] {
            assert!(pinned.resolve(other.parse().unwrap()).await.is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn the_machine_knows_itself() {
        let found = MachineLookup::default().lookup("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
