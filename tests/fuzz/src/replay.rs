//! The seed corpora as ordinary tests, on the stable compiler.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most seeds of a target. More belong into the grown corpus, which is not part of the repository.
const SEEDS_MAX: usize = 40;
/// Most bytes of a seed.
const SEED_LEN_MAX: u64 = 4096;

/// Gives every seed of `target` to `check`, and names the one that fails.
pub fn replay(target: &str, check: fn(&[u8])) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = manifest.join("../../tests/fuzz/corpus").join(target);
    let mut seeds: Vec<PathBuf> =
        fs::read_dir(&corpus).unwrap().map(|it| it.unwrap().path()).collect();
    seeds.sort();
    assert!((1..=SEEDS_MAX).contains(&seeds.len()), "{target} has {} seeds", seeds.len());
    for seed in seeds {
        assert!(fs::metadata(&seed).unwrap().len() <= SEED_LEN_MAX, "{} is large", seed.display());
        let bytes = fs::read(&seed).unwrap();
        let held = std::panic::catch_unwind(|| check(&bytes));
        assert!(held.is_ok(), "{} fails", seed.display());
    }
}
