//! Registries over HTTP, with a bound on everything that a registry may send.
//!
//! Source: OCI Distribution Specification 1.1; tokens as in the "token authentication" of the Distribution project.
//!
//! | module         | what it holds                                                        |
//! |----------------|----------------------------------------------------------------------|
//! | `options`      | [`Options`]: trust, credentials, limits                               |
//! | `address`      | where a registry is, and where it may send us                          |
//! | `http`         | one question and its answer: challenges, redirects, lengths, times     |
//! | `auth`         | challenges and tokens                                                |
//! | `blob`         | a content as it comes in                                              |
//! | `upload`       | a content as it goes out                                              |
//! | `referrers`    | the list of what refers to a manifest                                 |
//! | `capabilities` | which registries have such a list, remembered for an hour             |
//!
//! # Invariants
//!
//! * **H1** No answer is held in memory beyond its limit, and none is waited for longer than its time: a peer that sends
//!   a byte now and then does not keep us.
//! * **H2** A redirect leads to the registry itself or to a host that the operator named, never from https to http.
//! * **H3** Credentials and tokens go to the registry that they are for, and to the place of its tokens: the same host,
//!   or one that the operator named. Nobody else ever sees them.
//! * **H4** Plain HTTP is spoken on this machine, and elsewhere only where the operator says so.
//! * **H5** "There is none" (404) counts from the registry itself, about a manifest or a content (Q1).
//!
//! The port is synchronous. Each [`Remote`] has a small runtime of its own and blocks the calling thread, so it must not
//! be used, nor dropped, by an async task; `spawn_blocking` is the place for it there.

mod address;
mod auth;
mod blob;
mod capabilities;
mod http;
mod options;
mod referrers;
mod upload;

use std::{fmt, future::Future, io::Read};

use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    ContentError, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, Digest, IMAGE_INDEX, IMAGE_MANIFEST,
    MANIFEST_LEN_MAX, ManifestError, Name, RawManifest, Referrers, Registry, RegistryError,
    oci::{
        address::Address,
        blob::Incoming,
        http::{Ask, Http},
    },
};
pub use options::{Capabilities, Clock, Credentials, Limits, Options, PlainHttp};

/// Every type of manifest that is asked for.
const MANIFEST_TYPES: [&str; 4] = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
/// The header in which a registry says what something is called.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A repository of a registry.
pub struct Remote {
    http: Http,
    capabilities: Option<Capabilities>,
    /// Gone only while it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("place", &self.http.address.place()).finish_non_exhaustive()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not hang us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Remote {
    /// Prepares questions to `repository` at `host`, as a [`Place`](crate::Place) names them. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Malformed`] when they name no repository, [`RegistryError::Io`] when this machine has no room
    /// for a client.
    pub fn new(host: &str, repository: &str, options: Options) -> Result<Self, RegistryError> {
        let address = Address::new(host, repository, &options)?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime
            .map_err(|source| RegistryError::Io { what: "an HTTP client".to_owned(), source })?;
        let capabilities = options.capabilities.clone();
        let http = Http::new(address, options)?;
        Ok(Self { http, capabilities, runtime: Some(runtime) })
    }

    /// Blocks until `work` is done.
    fn run<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(self.http.unreachable("the client is closed")),
        }
    }

    fn ask(&self, method: Method, kind: &str, name: &dyn fmt::Display) -> Ask {
        let what = format!("{method} {kind}/{name}");
        Ask::new(method, self.http.address.url(&format!("{kind}/{name}")), what)
    }

    async fn manifest(&self, name: &Name) -> Result<Option<RawManifest>, RegistryError> {
        let mut ask = self.ask(Method::GET, "manifests", name);
        ask.accept = Some(MANIFEST_TYPES.join(", "));
        let Some(response) = self.found(self.http.send(&ask).await?, &ask)? else {
            return Ok(None);
        };
        let media_type = media_type(response.headers());
        let what = format!("manifest {name}");
        if !MANIFEST_TYPES.contains(&media_type.as_str()) {
            let source = ManifestError::MediaType { found: media_type.chars().take(96).collect() };
            return Err(RegistryError::Manifest { what, source });
        }
        let said = said_digest(response.headers(), &what)?;
        let bytes = self.http.bounded(response, MANIFEST_LEN_MAX, &what).await?;
        let found = RawManifest { media_type, bytes };
        agree(said, &found.digest(), &what)?;
        Ok(Some(found))
    }

    async fn put_manifest(&self, name: &Name, raw: &RawManifest) -> Result<(), RegistryError> {
        let mut ask = self.ask(Method::PUT, "manifests", name);
        ask.writes = true;
        ask.content_type = Some(raw.media_type.clone());
        ask.body = raw.bytes.clone().into();
        let response = self.http.send(&ask).await?;
        if response.status() != StatusCode::CREATED {
            return Err(self.http.refused(response.status(), &ask.what));
        }
        let what = format!("manifest {name}");
        agree(said_digest(response.headers(), &what)?, &raw.digest(), &what)
    }

    /// An answer that brings something, or says that there is none (H5).
    fn found(&self, response: Response, ask: &Ask) -> Result<Option<Response>, RegistryError> {
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND if self.http.address.is_home(response.url()) => Ok(None),
            other => Err(self.http.refused(other, &ask.what)),
        }
    }
}

impl Registry for Remote {
    fn fetch_manifest(&self, name: &Name) -> Result<Option<RawManifest>, RegistryError> {
        self.run(self.http.in_time(self.manifest(name)))
    }

    fn open_content(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Box<dyn Read + '_>>, RegistryError> {
        let ask = self.ask(Method::GET, "blobs", &descriptor.digest);
        let response = self.run(self.http.in_time(self.http.send(&ask)))?;
        let Some(response) = self.found(response, &ask)? else { return Ok(None) };
        if let Some(announced) = response.content_length()
            && announced != descriptor.size
        {
            let what = format!("content {}", descriptor.digest);
            let text = format!("{announced} bytes are announced, not {}", descriptor.size);
            return Err(RegistryError::Malformed { what, text });
        }
        Ok(Some(Box::new(Incoming::new(self, response, descriptor.size))))
    }

    fn referrers(&self, subject: &Digest) -> Result<Referrers, RegistryError> {
        let host = self.http.address.host();
        if let Some(it) = &self.capabilities
            && capabilities::lists_referrers(it, host) == Some(false)
        {
            return Ok(Referrers::NotOffered);
        }
        let found = self.run(self.http.in_time(self.list_referrers(subject)))?;
        if let Some(it) = &self.capabilities {
            capabilities::remember(it, host, found != Referrers::NotOffered);
        }
        Ok(found)
    }

    fn store_content(
        &self,
        descriptor: &Descriptor,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError> {
        self.upload(descriptor, content)
    }

    fn store_manifest(&self, name: &Name, manifest: &RawManifest) -> Result<(), RegistryError> {
        if let Name::Digest(expected) = name {
            agree(Some(*expected), &manifest.digest(), &format!("manifest {expected}"))?;
        }
        self.run(self.http.in_time(self.put_manifest(name, manifest)))
    }
}

/// The media type of an answer, without its parameters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// What the registry says that something is called, if it says so.
fn said_digest(headers: &HeaderMap, what: &str) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = headers.get(DIGEST_HEADER) else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|it| it.parse().ok());
    let text = || "the registry names a digest that is none".to_owned();
    digest.map(Some).ok_or_else(|| RegistryError::Malformed { what: what.to_owned(), text: text() })
}

fn agree(said: Option<Digest>, found: &Digest, what: &str) -> Result<(), RegistryError> {
    match said {
        Some(expected) if expected.algorithm() == found.algorithm() && expected != *found => {
            let source = ContentError::Other { expected, found: *found };
            Err(RegistryError::Content { what: what.to_owned(), source })
        }
        _ => Ok(()),
    }
}
