//! A directory with keys, a policy bundle, an image in a layout, and its lock.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::harness::{Bin, Finished, NO_SKIP, program, run_to_end};
use serde_json::Value;
use supply_chain::{PublicKey, keyfile::read_public_key};
use tempfile::TempDir;

/// The image.
pub(crate) const IMAGE: &str = "oci:layout:1.0.0";
/// Verifies everything there is.
pub(crate) const REQUIRED: [&str; 7] = [
    "verify",
    "--image",
    IMAGE,
    "--pub",
    "keys/autonomy.pub",
    "--require-lock",
    "--require-policy",
];
const REGO: &str = "package autonomy\n\ndecision := {\"allow\": true, \"rule\": \"echo\"} if input.kind == \"tool.echo\"\n";

/// A directory in which commands run.
pub(crate) struct World {
    dir: TempDir,
}

impl World {
    /// A directory with nothing in it.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Keys, a bundle, an image and its lock. Nothing is attached, nothing is signed.
    pub(crate) fn new() -> Self {
        let world = Self::with_keys();
        world.ok(&["oci", "push-test-artifact", "--image", IMAGE]);
        world.lock(IMAGE);
        world
    }

    /// Keys and a bundle.
    pub(crate) fn with_keys() -> Self {
        let world = Self::empty();
        world.ok(&["keys", "generate", "--out", "keys"]);
        fs::create_dir(world.path("p")).unwrap();
        fs::write(world.path("p/a.rego"), REGO).unwrap();
        world.ok(&["policy", "build", "--in", "p", "--out", "bundle.tar.gz", "--version", "1.0.0"]);
        world
    }

    /// Makes the lock of an image.
    pub(crate) fn lock(&self, image: &str) {
        let hash = format!("sha256:{}", "5".repeat(64));
        let tool = format!("tool.echo={hash}");
        self.ok(&[
            "lock",
            "create",
            "--image",
            image,
            "--policy-bundle",
            "bundle.tar.gz",
            "--name",
            "arm",
            "--version",
            "1.0.0",
            "--release-counter",
            "1",
            "--prompt-hash",
            &hash,
            "--tool-inputs-hash",
            &hash,
            "--tool",
            &tool,
            "--out",
            "autonomy.lock.json",
        ]);
    }

    /// Everything attached and signed.
    pub(crate) fn signed() -> Self {
        let world = Self::new();
        world.publish(IMAGE);
        world
    }

    /// Attaches and signs everything.
    pub(crate) fn publish(&self, image: &str) {
        for (args, tag) in [
            (["oci", "attach-policy", "--image", image, "--bundle", "bundle.tar.gz"], "-policy"),
            (["oci", "attach-lock", "--image", image, "--lock", "autonomy.lock.json"], "-lock"),
        ] {
            let done = self.ok(&args);
            let line = format!("attached  mode=sidecar  ref={image}{tag}  digest=sha256:");
            assert!(done.stdout.starts_with(&line), "{done:?}");
        }
        self.ok(&["sign", "--image", image, "--key", "keys/autonomy.key", "--lock", "--policy"]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `autonomy` here.
    pub(crate) fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Finished {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(args).current_dir(self.dir.path()).env("HOME", self.dir.path());
        run_to_end(command.envs(env.iter().copied())).unwrap()
    }

    /// Runs another program here.
    pub(crate) fn outside(&self, program: &str, args: &[&str]) -> Finished {
        run_to_end(Command::new(program).args(args).current_dir(self.dir.path())).unwrap()
    }

    #[track_caller]
    pub(crate) fn ok_with(&self, args: &[&str], env: &[(&str, &str)]) -> Finished {
        let done = self.run(args, env);
        assert_eq!(done.code(), Some(0), "{args:?}: {done:?}");
        done
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Finished {
        self.ok_with(args, &[])
    }

    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> Finished {
        let done = self.run(args, &[]);
        assert_eq!(done.code(), Some(code), "{args:?}: {done:?}");
        done
    }

    /// The one document of a command that succeeds.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let done = self.ok(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// The one document of a command that fails.
    #[track_caller]
    pub(crate) fn error(&self, args: &[&str], code: i32) -> Value {
        let done = self.fails(&[args, &["--output", "json"]].concat(), code);
        serde_json::from_str(&done.stdout).unwrap()
    }
}

pub(crate) fn public_key(path: &Path) -> PublicKey {
    read_public_key(path).unwrap()
}

/// Whether a test can run here: whether this works. Where nothing may be skipped it has to.
pub(crate) fn possible(test: &str, program: &str, args: &[&str]) -> bool {
    let tried = Command::new(program).args(args).output();
    if tried.is_ok_and(|it| it.status.success()) {
        return true;
    }
    assert!(std::env::var_os(NO_SKIP).is_none(), "{test} may not be skipped here: {program}");
    // Not `eprintln`: that is captured, and a skip must be seen.
    let line = format!("skipped {test}: {program} {} does not work here\n", args.join(" "));
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    false
}
