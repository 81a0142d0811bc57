//! A release in an image layout on disk: published, signed, loaded, and tampered with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Finished, Ports, RuntimeOptions, Stack, autonomy, demo_policies},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Drill 4: a lock that was changed after it was signed.
pub(super) const TAMPERED: Drill = Drill {
    name: "supply-chain",
    hypothesis: "a lock that was changed after it was signed is not loaded, and strict mode denies every call",
    fault: "one hex digit of agent_artifact.digest is flipped, and the lock is attached again, unsigned",
    expected: "exit code 8 with ErrUnsigned, step 2 with ErrDigestMismatch; `\"mode\":\"strict\"`",
    needs: Needs::Nothing,
    lines: &[
        "supply-chain: tampered lock artifact rejected by verify",
        "strict mode: tool calls denied when verification fails",
    ],
    play: tampered,
};

/// A release that was published.
#[derive(Debug)]
pub struct Release {
    /// Everything of it is below this.
    dir: PathBuf,
    /// The image.
    pub image: String,
}

impl Release {
    /// Makes keys, a policy bundle, an image and its lock below the directory of a stack, puts them together in a
    /// layout, and signs them.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn publish(stack: &Stack, version: &str, counter: u64) -> Result<Self> {
        let dir = stack.dir.join("release");
        fs::create_dir_all(&dir)?;
        let image = format!("oci:{}:{version}", text(&dir.join("images"))?);
        let release = Self { dir, image };
        if !release.file("autonomy.key").exists() {
            good(&["keys", "generate", "--out", text(&release.dir)?])?;
        }
        let (bundle, lock) = (release.file("bundle.tar.gz"), release.file("autonomy.lock.json"));
        // What an earlier release has left.
        fs::remove_file(&lock).ok();
        let policies = demo_policies();
        let (bundle, lock) = (text(&bundle)?, text(&lock)?);
        good(&[
            "policy",
            "build",
            "--in",
            text(&policies)?,
            "--out",
            bundle,
            "--version",
            version,
        ])?;
        good(&["oci", "push-test-artifact", "--image", &release.image])?;
        let hash = format!("blake3:{}", "5e".repeat(32));
        good(&[
            "lock",
            "create",
            "--image",
            &release.image,
            "--policy-bundle",
            bundle,
            "--name",
            "demo",
            "--version",
            version,
            "--release-counter",
            &counter.to_string(),
            "--prompt-hash",
            &hash,
            "--tool-inputs-hash",
            &hash,
            "--out",
            lock,
        ])?;
        release.attach("attach-policy", "--bundle", bundle)?;
        release.attach("attach-lock", "--lock", lock)?;
        let key = release.file("autonomy.key");
        good(&["sign", "--image", &release.image, "--key", text(&key)?, "--lock", "--policy"])?;
        Ok(release)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn attach(&self, command: &str, option: &str, file: &str) -> Result<String> {
        let output = good(&["oci", command, "--image", &self.image, option, file])?;
        ensure!(output.starts_with("attached  mode=sidecar  ref="), "{output}");
        Ok(output)
    }

    /// File with the key whose signatures count.
    pub fn key(&self) -> PathBuf {
        self.file("autonomy.pub")
    }

    /// Fingerprint of the lock that was made last.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn fingerprint(&self) -> Result<String> {
        let lock: Value = serde_json::from_slice(&fs::read(self.file("autonomy.lock.json"))?)?;
        lock["behavioral_fingerprint"].as_str().map(str::to_owned).context("no fingerprint")
    }

    /// Verifies image, lock and policy, without a network.
    ///
    /// # Errors
    ///
    /// When the command cannot be started; how it ended is in the result.
    pub fn verify(&self, further: &[&str]) -> Result<Finished> {
        let key = self.file("autonomy.pub");
        let mut words = vec!["verify", "--image", &self.image, "--pub", text(&key)?, "--offline"];
        words.extend(["--require-lock", "--require-policy"]);
        words.extend(further);
        autonomy(&words)
    }

    /// Loads its policy as a verified release.
    ///
    /// # Errors
    ///
    /// When the command cannot be started; how it ended is in the result.
    pub fn load(&self, stack: &Stack) -> Result<Finished> {
        let (key, policy, wal) = (self.file("autonomy.pub"), stack.policy_dir(), stack.wal_dir());
        let key = text(&key)?;
        let mut words = vec!["policy", "load", "--lock", &self.image, "--pub", key];
        words.extend(["--policy-dir", text(&policy)?, "--wal-dir", text(&wal)?]);
        autonomy(&words)
    }

    /// Flips one hex digit of the digest of the agent, and attaches the lock again without a signature.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn tamper(&self) -> Result<()> {
        let file = self.file("pulled.lock.json");
        let path = text(&file)?;
        good(&["oci", "pull-lock", "--image", &self.image, "--out", path])?;
        let lock = fs::read_to_string(&file)?;
        let value: Value = serde_json::from_str(&lock)?;
        let digest = value["agent_artifact"]["digest"].as_str().context("no digest")?;
        let digits = digest.strip_prefix("sha256:").context("no SHA-256")?;
        let (first, rest) = digits.split_at_checked(1).context("no digits")?;
        let other = if first == "0" { "1" } else { "0" };
        fs::write(&file, lock.replace(digits, &format!("{other}{rest}")))?;
        self.attach("attach-lock", "--lock", path).map(drop)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the directory has a UTF-8 name")
}

/// The output of a command that ended well.
fn good(words: &[&str]) -> Result<String> {
    let ended = autonomy(words)?;
    ensure!(ended.code() == Some(0), "{words:?}: {ended:?}");
    Ok(ended.stdout)
}

/// What drill 4 and step 6 of the tutorial say in common: the release is verified, tampered with, and refused.
pub(super) fn reject_tampered(release: &Release, fault: Fault, narrator: &mut Narrator) {
    let output = narrator.check("image, lock and policy are verified", || {
        let ended = release.verify(&[])?;
        ensure!(ended.code() == Some(0), "{ended:?}");
        Ok(ended.stdout)
    });
    narrator.show(&output.unwrap_or_default());
    narrator.check(
        "one hex digit of the lock is flipped, and it is attached again",
        || match fault {
            Fault::Injected => release.tamper(),
            Fault::LeftOut => Ok(()),
        },
    );
    let output =
        narrator.check("proof: autonomy verify --require-lock fails with exit code 8", || {
            let ended = release.verify(&["--output", "json"])?;
            ensure!(ended.code() == Some(8), "{ended:?}");
            let failure: Value = serde_json::from_str(&ended.stdout)?;
            let said = failure.to_string();
            ensure!(failure["error"]["code"] == "ErrUnsigned", "{said}");
            ensure!(said.contains("ErrDigestMismatch"), "step 2 says it too: {said}");
            Ok(release.verify(&[])?.stdout)
        });
    narrator.show(&output.unwrap_or_default());
}

fn tampered(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    let (release, client) = (Release::publish(&stack, "1.0.0", 1)?, Client::new()?);
    let mut runtime = None;
    narrator.check("the release is loaded, and a runtime decides by it", || {
        let loaded = release.load(&stack)?;
        ensure!(loaded.code() == Some(0), "{loaded:?}");
        runtime = Some(stack.runtime(&RuntimeOptions::default())?);
        let status = client.get_json(&format!("{}/v1/status", stack.runtime_url()))?;
        ensure!(status["lock_fingerprint"].is_string(), "{status}");
        echo(&client, &stack, (200, "allow"))
    });
    reject_tampered(&release, fault, narrator);
    narrator.check("it is not loaded again either, and the policy stays", || {
        let refused = release.load(&stack)?;
        ensure!(refused.code() == Some(8), "{refused:?}");
        echo(&client, &stack, (200, "allow"))
    });
    narrator.check("the runtime restarts in strict mode, and calls are denied", || {
        runtime.take().context("no runtime")?.stop()?;
        let env = [("AUTONOMY_STRICT_MODE", "1")];
        let strict = stack.runtime(&RuntimeOptions { env: &env, args: &[] })?;
        let (_, health) = client.get(&format!("{}/health", stack.runtime_url()))?;
        ensure!(health == r#"{"status":"ok","mode":"strict"}"#, "{health}");
        echo(&client, &stack, (403, "deny"))?;
        strict.stop()
    });
    Ok(())
}

fn echo(client: &Client, stack: &Stack, (status, decision): (u16, &str)) -> Result<()> {
    let params = json!({ "message": "drill" });
    let (found, answer) = client.tool(&stack.runtime_url(), "tool.echo", &params)?;
    ensure!((found, answer.decision.as_str()) == (status, decision), "{found} {answer:?}");
    Ok(())
}
