//! What the tests with registries share: options, references, and programs that may be absent.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod hostile;

use std::{io::Write as _, process::Command, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use supply_chain::{
    Reference,
    oci::{Credentials, Options, Remote},
};

/// The usual options; https trusts `roots`.
pub(crate) fn options(roots: RootCertStore) -> Options {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Options::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A repository on this machine.
pub(crate) fn remote(host: &str, options: Options) -> Remote {
    Remote::new(host, "agents/arm", options).unwrap()
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn credentials(password: &str) -> Credentials {
    Credentials { user: "me".to_owned(), password: password.to_owned().into() }
}

/// Runs a program; its output when it succeeded.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{errors}");
    text
}

/// Whether every program is installed; says which one is not, and what is skipped for it.
#[track_caller]
pub(crate) fn are_installed(programs: &[&str], test: &str) -> bool {
    let missing = programs.iter().find(|it| {
        let found = Command::new("sh").args(["-c", &format!("command -v {it}")]).output().unwrap();
        !found.status.success()
    });
    let Some(missing) = missing else { return true };
    assert!(std::env::var_os("AUTONOMY_NO_SKIP").is_none(), "no test may be skipped here");
    // Not `eprintln`: that is captured, and a skip must be seen.
    let mut seen = std::io::stderr();
    writeln!(seen, "skipped {test}: {missing} is not installed").unwrap();
    false
}
