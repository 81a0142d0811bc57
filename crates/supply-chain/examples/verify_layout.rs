//! Verifies an image in a layout: `cargo run -p supply-chain --example verify_layout -- oci:DIR:TAG FILE.pub…`.
//!
//! Without arguments it publishes one first, verifies it, changes it as an attacker with the disk would, and verifies
//! it again.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Read as _,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
};

use supply_chain::{
    Layout, MAX_AGE, Place, PublicKey, Reference, SigningKey, Trust, Wanted, gather,
    keyfile::read_public_key, publish_signature, push_artifact, verify,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let Some(image) = args.next() else {
        let dir = tempfile::tempdir()?;
        return show(dir.path());
    };
    let keys: std::result::Result<Vec<_>, _> =
        args.map(|it| read_public_key(Path::new(&it))).collect();
    check(&image.parse()?, keys?)
}

/// What a publisher does, what a node does, and what an attacker does.
fn show(dir: &Path) -> Result<()> {
    let layout_dir = dir.join("layout");
    let image: Reference = format!("oci:{}:1.0.0", layout_dir.display()).parse()?;
    let layout = Layout::open_or_begin(Arc::new(vfs::OsVfs), &layout_dir)?;
    let content = b"what the agent is";
    let pushed = push_artifact(&layout, &image, &[content])?;
    let (ours, theirs) = (key()?, key()?);
    let now = jiff::Timestamp::now();
    publish_signature(&layout, &image.place, &pushed.digest, &ours, Some(now))?;
    check(&image, vec![ours.public().clone()])?;

    let stranger = check(&image, vec![theirs.public().clone()]);
    println!("by another key: {}", stranger.err().ok_or("a stranger's key was enough")?);

    for blob in fs::read_dir(layout_dir.join("blobs/sha256"))? {
        let path = blob?.path();
        if fs::read(&path)? == content {
            fs::write(&path, b"what an agent was")?;
        }
    }
    let changed = check(&image, vec![ours.public().clone()]);
    println!("changed on the disk: {}", changed.err().ok_or("nobody noticed")?);
    Ok(())
}

fn key() -> Result<SigningKey> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(SigningKey::generate(random))
}

fn check(image: &Reference, keys: Vec<PublicKey>) -> Result<()> {
    let Place::Layout(dir) = &image.place else { return Err("not a layout on disk".into()) };
    let layout = Layout::open(Arc::new(vfs::OsVfs), dir)?;
    // The lock is required when this is not only tried out; the policy bundle needs a reader of its version.
    let wanted = Wanted { lock: false, policy: false, contents: true };
    let now = jiff::Timestamp::now();
    let trust = Trust { keys, threshold: NonZeroUsize::MIN, max_age: Some(MAX_AGE), now };
    let found = verify(gather(&layout, image, wanted)?, &trust, &|_| Err("not wanted".to_owned()));
    for step in &found.report.steps {
        println!("{} {}: {:?}, {}", step.number, step.name, step.state, step.detail);
    }
    for text in &found.report.not_established {
        println!("not established: {text}");
    }
    found.result?;
    println!("verified");
    Ok(())
}
