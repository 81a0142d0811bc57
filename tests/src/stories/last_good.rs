//! What a node does when what it should run cannot be had: it keeps what it has.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Ports, Process, RuntimeOptions, Stack, autonomy, demo_policies, eventually},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
        release::Release,
    },
};

/// Drill 1: the registry is gone when the next release is desired.
pub(super) const REGISTRY_GONE: Drill = Drill {
    name: "registry-gone",
    hypothesis: "a node that cannot fetch what is desired decides by the last release that it verified, also after a restart",
    fault: "the images are moved away before the control plane names a new release",
    expected: "`releases.problem` in the status names the release that is not there; calls are decided as before",
    needs: Needs::Nothing,
    lines: &["registry gone: the last known good policy serves"],
    play: registry_gone,
};

/// Drill 2: a bundle that is not what was built.
pub(super) const BUNDLE_REJECTED: Drill = Drill {
    name: "bundle-rejected",
    hypothesis: "a corrupt or cut bundle is rejected, and the slots stay as they were",
    fault: "one bit in the middle of the bundle is flipped; then half of it is cut off",
    expected: "`autonomy policy load` fails and names what is wrong; the runtime decides as before",
    needs: Needs::Nothing,
    lines: &["corrupt bundle: rejected, slots untouched"],
    play: bundle_rejected,
};

fn registry_gone(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    let client = Client::new()?;
    let control_plane = stack.orchestrator()?;
    Release::publish(&stack, "1.0.0", 1)?;
    let first = fingerprint(&stack)?;
    let mut runtime = None;
    narrator.check("a node takes the release that the control plane names", || {
        desire(&stack, &client, "1.0.0", 1)?;
        runtime = Some(follower(&stack)?);
        decides_by(&stack, &client, &first)
    });
    let (images, away) = (stack.dir.join("release/images"), stack.dir.join("release/away"));
    narrator.check("another release is published, and the images are moved away", || {
        Release::publish(&stack, "1.1.0", 2)?;
        match fault {
            Fault::Injected => Ok(fs::rename(&images, &away)?),
            Fault::LeftOut => Ok(()),
        }
    });
    narrator.check("proof: there are no images where the release is said to be", || {
        ensure!(!images.exists(), "{} is there", images.display());
        Ok(())
    });
    narrator.check("the node says which release it cannot fetch", || {
        desire(&stack, &client, "1.1.0", 2)?;
        eventually("the problem is named", || {
            let releases = status(&stack, &client).ok()?["releases"].clone();
            let wanted = releases["desired"]["id"] == "release-2";
            (wanted && releases["problem"]["code"].is_string()).then_some(())
        })
    });
    narrator.check("it decides by the last good release", || decides_by(&stack, &client, &first));
    narrator.check("so it does after a restart", || {
        runtime.take().context("no runtime")?.stop()?;
        runtime = Some(follower(&stack)?);
        decides_by(&stack, &client, &first)
    });
    narrator.check("once the images are back, it takes the new release", || {
        fs::rename(&away, &images)?;
        decides_by(&stack, &client, &fingerprint(&stack)?)?;
        runtime.take().map_or(Ok(()), Process::stop)
    });
    control_plane.stop()
}

/// Tells the control plane about the release that was published last.
fn desire(stack: &Stack, client: &Client, version: &str, sequence: u64) -> Result<()> {
    let images = stack.dir.join("release/images");
    let body = json!({
        "id": format!("release-{sequence}"),
        "sequence": sequence,
        "artifact_ref": format!("oci:{}:{version}", images.display()),
        "lock_fingerprint": fingerprint(stack)?,
    });
    let url = format!("{}/v1/releases", stack.orchestrator_url());
    let (status, text) = client.post(&url, body.to_string())?;
    ensure!(status == 201, "HTTP {status} {text}");
    Ok(())
}

/// The fingerprint of the lock that was published last.
fn fingerprint(stack: &Stack) -> Result<String> {
    let lock = fs::read_to_string(stack.dir.join("release/autonomy.lock.json"))?;
    let lock: Value = serde_json::from_str(&lock)?;
    Ok(lock["behavioral_fingerprint"].as_str().context("no fingerprint")?.to_owned())
}

/// A runtime that asks the control plane what to run.
fn follower(stack: &Stack) -> Result<Process> {
    let (url, key) = (stack.orchestrator_url(), stack.dir.join("release/autonomy.pub"));
    let key = key.to_str().context("the directory has a UTF-8 name")?;
    let args = ["--orchestrator-url", &url, "--cosign-pubkey", key, "--poll-interval", "100ms"];
    stack.runtime(&RuntimeOptions { args: &args, env: &[] })
}

fn status(stack: &Stack, client: &Client) -> Result<Value> {
    client.get_json(&format!("{}/v1/status", stack.runtime_url()))
}

/// Waits until decisions name this lock, and makes one.
fn decides_by(stack: &Stack, client: &Client, lock: &str) -> Result<()> {
    eventually(&format!("the lock is {lock}"), || {
        (status(stack, client).ok()?["lock_fingerprint"] == lock).then_some(())
    })
    .with_context(|| format!("{:?}", status(stack, client)))?;
    allowed(stack, client)
}

fn allowed(stack: &Stack, client: &Client) -> Result<()> {
    let params = json!({ "message": "drill" });
    let (status, answer) = client.tool(&stack.runtime_url(), "tool.echo", &params)?;
    ensure!(status == 200, "{answer:?}");
    Ok(())
}

fn bundle_rejected(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    let client = Client::new()?;
    stack.load_demo_policy()?;
    let mut runtime = None;
    narrator.check("a runtime decides by a policy", || {
        runtime = Some(stack.runtime(&RuntimeOptions::default())?);
        allowed(&stack, &client)
    });
    let (before, bundle) = (files(&stack.policy_dir())?, stack.dir.join("next.tar.gz"));
    let built = build(&bundle)?;
    narrator.check("one bit of the next bundle is flipped", || {
        let mut bytes = built.clone();
        let middle = bytes.len() / 2;
        if let (Fault::Injected, Some(byte)) = (fault, bytes.get_mut(middle)) {
            *byte ^= 1;
        }
        Ok(fs::write(&bundle, bytes)?)
    });
    narrator.check("proof: it is not what was built", || {
        ensure!(fs::read(&bundle)? != built, "not a bit is another");
        Ok(())
    });
    narrator.check("it is not loaded, and the slots are untouched", || {
        rejected(&stack, &bundle)?;
        ensure!(files(&stack.policy_dir())? == before, "the slots are others");
        Ok(())
    });
    narrator.check("half of it is not loaded either", || {
        fs::write(&bundle, built.get(..built.len() / 2).unwrap_or_default())?;
        rejected(&stack, &bundle)?;
        ensure!(files(&stack.policy_dir())? == before, "the slots are others");
        Ok(())
    });
    narrator.check("the runtime decides as before, also after a restart", || {
        allowed(&stack, &client)?;
        runtime.take().context("no runtime")?.stop()?;
        let again = stack.runtime(&RuntimeOptions::default())?;
        allowed(&stack, &client)?;
        again.stop()
    });
    Ok(())
}

/// Builds a bundle of another version and returns its bytes.
fn build(bundle: &Path) -> Result<Vec<u8>> {
    let (sources, out) = (demo_policies(), bundle.to_string_lossy().into_owned());
    let sources = sources.to_string_lossy();
    let words = ["policy", "build", "--version", "2.0.0", "--in", &sources, "--out", &out];
    let built = autonomy(&words)?;
    ensure!(built.code() == Some(0), "{built:?}");
    Ok(fs::read(bundle)?)
}

fn rejected(stack: &Stack, bundle: &Path) -> Result<()> {
    let (bundle, slots) = (bundle.to_string_lossy(), stack.policy_dir());
    let slots = slots.to_string_lossy();
    let loaded = autonomy(&["policy", "load", "--bundle", &bundle, "--policy-dir", &slots])?;
    let refused = loaded.code().is_some_and(|it| it != 0) && !loaded.stderr.is_empty();
    ensure!(refused, "{loaded:?}");
    Ok(())
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}
