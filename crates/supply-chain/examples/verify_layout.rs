//! Verifies an image in a layout: `cargo run -p supply-chain --example verify_layout -- oci:DIR:TAG FILE.pub…`.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{env, error::Error, num::NonZeroUsize, path::Path, sync::Arc};

use supply_chain::{
    Layout, MAX_AGE, Place, Reference, Trust, Wanted, gather, keyfile::read_public_key, verify,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let image: Reference =
        args.next().ok_or("usage: verify_layout oci:DIR:TAG FILE.pub…")?.parse()?;
    let keys: Result<Vec<_>, _> = args.map(|it| read_public_key(Path::new(&it))).collect();
    let Place::Layout(dir) = &image.place else { return Err("not a layout on disk".into()) };
    let layout = Layout::open(Arc::new(vfs::OsVfs), dir)?;
    // The lock is required when this is not only tried out; the policy bundle needs a reader of its version.
    let wanted = Wanted { lock: false, policy: false, contents: true };
    let trust = Trust {
        keys: keys?,
        threshold: NonZeroUsize::MIN,
        max_age: Some(MAX_AGE),
        now: jiff::Timestamp::now(),
    };
    let found = verify(gather(&layout, &image, wanted)?, &trust, &|_| Err("not wanted".to_owned()));
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
