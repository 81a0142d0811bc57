//! The place where an image is, as options describe it, and what its failures mean for an operator.

use std::{fs, io, path::Path, sync::Arc};

use api::{env, exit::Exit};
use jiff::Timestamp;
use supply_chain::{
    AttachError, Layout, Place, PublishError, Reference, Registry, RegistryError, TransferError,
    VerifyError,
    oci::{Capabilities, Credentials, Options, PlainHttp},
    open_place,
    signature::SignatureError,
};
use vfs::{OsVfs, read_whole};

use crate::{args::RegistryArgs, context::Context, failure::Failure};

/// Longest file with certificate authorities, in bytes.
const CA_FILE_LEN_MAX: u64 = 1 << 20;

/// Most tags of a layout that a hint lists.
const TAGS_MAX: usize = 10;
/// Ends of the tags of what stands beside an image.
const BESIDE: [&str; 3] = [".sig", "-lock", "-policy"];

/// What is to be done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What is not there is an error.
    Read,
    /// A layout is made when it does not exist.
    Write,
}

/// Opens the place of an image. Nothing is sent yet.
pub(super) fn open(
    image: &Reference,
    purpose: Purpose,
    args: &RegistryArgs,
    context: Context<'_>,
) -> Result<Box<dyn Registry>, Failure> {
    match (&image.place, purpose) {
        (Place::Layout(dir), Purpose::Write) => {
            let layout = Layout::open_or_begin(Arc::new(OsVfs), dir);
            Ok(Box::new(layout.map_err(|it| failed(&it))?))
        }
        _ => open_place(Arc::new(OsVfs), image, &options(args, context)?).map_err(|it| failed(&it)),
    }
}

/// How registries are spoken to.
pub(super) fn options(args: &RegistryArgs, context: Context<'_>) -> Result<Options, Failure> {
    let tls = match &args.ca_file {
        None => tls::client_config().config,
        Some(path) => {
            let pem = read(path, CA_FILE_LEN_MAX)?;
            let material = tls::Material { authorities: Some(pem), client: None };
            material.client_config().map_err(|error| {
                let mut failure = Failure::of(Exit::Usage, "CA_FILE_UNUSABLE", &error);
                failure.message = format!("{}: {error}", path.display());
                failure.hint("--ca-file has certificates in PEM")
            })?
        }
    };
    let mut options = Options::new(tls);
    if args.allow_insecure_registry {
        options.plain_http = PlainHttp::Everywhere;
    }
    options.credentials = credentials(args, context)?;
    options.redirect_hosts.clone_from(&args.redirect_host);
    options.token_hosts.clone_from(&args.token_host);
    options.capabilities = context.registry_capabilities().and_then(|path| {
        // What cannot be remembered is asked every time.
        fs::create_dir_all(path.parent()?).ok()?;
        Some(Capabilities { vfs: Arc::new(OsVfs), path, now: Arc::new(Timestamp::now) })
    });
    Ok(options)
}

fn credentials(args: &RegistryArgs, context: Context<'_>) -> Result<Option<Credentials>, Failure> {
    let Some(user) = &args.registry_user else { return Ok(None) };
    let password = context.var(env::REGISTRY_PASSWORD).ok_or_else(|| {
        let message = format!("there is no password for the user `{user}`");
        Failure::new(Exit::Usage, "NO_REGISTRY_PASSWORD", message)
            .hint(format!("set {}", env::REGISTRY_PASSWORD))
    })?;
    Ok(Some(Credentials { user: user.clone(), password: password.into() }))
}

/// Reads a whole file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    read_whole(&OsVfs, path, limit)
        .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| Failure::file("read", path, &error))
}

/// Explains a verification that failed, or something that would have made it fail.
pub(super) fn refused(error: &VerifyError, image: &str) -> Failure {
    let exit = match error {
        VerifyError::Unreachable { .. } => Exit::Unreachable,
        _ => Exit::Integrity,
    };
    Failure::of(exit, error.code(), error).hint(next_step(error, image))
}

/// What to do next.
fn next_step(error: &VerifyError, image: &str) -> String {
    match error {
        VerifyError::Unsigned { digest, .. } => format!(
            "ask the publisher whether {digest} is theirs; only then: autonomy sign --image {image} --key FILE --lock --policy"
        ),
        VerifyError::BadSignature { valid: 1.., .. } => format!(
            "too few have signed: ask the holders of the missing keys to run autonomy sign --image {image} --key FILE --lock --policy"
        ),
        VerifyError::BadSignature { .. } => {
            "check --pub: autonomy keys show FILE; if the key is right, somebody else signed or changed it: do not load it".to_owned()
        }
        VerifyError::SignatureExpired { .. } => {
            format!("check the clock (date -u), then have the publisher sign it again: autonomy sign --image {image} --key FILE --lock --policy")
        }
        VerifyError::DigestMismatch { .. } => {
            format!("do not load it; see what is there: autonomy oci inspect --image {image}")
        }
        VerifyError::FingerprintMismatch { .. } => {
            "do not load it; the lock was edited after it was made: autonomy lock create".to_owned()
        }
        VerifyError::VersionMismatch { .. } => {
            "compare autonomy bundle inspect FILE with autonomy lock show FILE".to_owned()
        }
        VerifyError::Rollback { .. } => {
            "to go back on purpose sign a permit: autonomy lock permit".to_owned()
        }
        VerifyError::NothingToVerify { .. } => {
            format!("see what is there: autonomy oci inspect --image {image}")
        }
        VerifyError::Unsupported { .. } => {
            "if the file is of a newer version, update this node first".to_owned()
        }
        VerifyError::Unreachable { .. } => {
            "nothing is known about the image: check the place and the credentials, or verify a copy in a layout (oci:DIR:TAG)".to_owned()
        }
    }
}

/// Explains a place that gave no usable answer.
pub(super) fn failed(error: &RegistryError) -> Failure {
    match error {
        RegistryError::Busy { .. } => Failure::of(Exit::Busy, "LAYOUT_LOCKED", error)
            .hint("another process writes to the layout: run the same command again"),
        RegistryError::NoLayout { .. } => Failure::of(Exit::Unreachable, "ErrUnreachable", error)
            .hint("check the path; is the disk mounted?"),
        RegistryError::Io { .. } => Failure::of(Exit::Failed, "IO", error)
            .hint("check path, owner, mode and room on the disk"),
        _ => {
            let judged = VerifyError::from(error);
            let exit = match judged {
                VerifyError::Unreachable { .. } => Exit::Unreachable,
                _ => Exit::Integrity,
            };
            Failure::of(exit, judged.code(), &judged).hint(match judged {
                VerifyError::Unreachable { .. } => {
                    "check the address of the place, its state, and the credentials"
                }
                VerifyError::DigestMismatch { .. } => "what is there is damaged: push it again",
                _ => "what is there is of a form that this version does not read",
            })
        }
    }
}

/// Explains why nothing was attached, pulled or pushed.
pub(super) fn not_attached(error: &AttachError) -> Failure {
    match error {
        AttachError::NoImage { image } => {
            let tags = image.parse().ok().and_then(|it| tags_at(&it));
            Failure::of(Exit::NotFound, "IMAGE_NOT_FOUND", error).hint(match tags {
                None => "check tag and digest".to_owned(),
                Some(tags) => format!("check tag and digest; {tags}"),
            })
        }
        AttachError::TagTaken { image, .. } => Failure::of(Exit::Conflict, "TAG_TAKEN", error)
            .hint(format!(
                "nothing was replaced; see what is there: autonomy oci inspect --image {image}; choose another tag"
            )),
        AttachError::NoSidecar { sidecar, .. } => {
            Failure::of(Exit::NotFound, "SIDECAR_NOT_FOUND", error)
                .hint(format!("attach it: autonomy oci attach-{sidecar}"))
        }
        AttachError::NoTag { .. } | AttachError::Tag(_) => {
            Failure::of(Exit::Usage, "BAD_REFERENCE", error)
                .hint("write host/repository:tag or oci:DIR:TAG")
        }
        AttachError::TooLong { .. } => Failure::of(Exit::Usage, "SIDECAR_TOO_LONG", error)
            .hint("a lock has at most 256 KiB, a policy bundle at most 16 MiB"),
        AttachError::Registry(error) => failed(error),
        _ => Failure::of(Exit::Failed, "IO", error),
    }
}

/// Says which images a layout has, as far as that can be found out.
fn tags_at(image: &Reference) -> Option<String> {
    let Place::Layout(dir) = &image.place else { return None };
    let mut found = Layout::open(Arc::new(OsVfs), dir).and_then(|it| it.tags()).ok()?;
    found.retain(|(tag, _)| !BESIDE.iter().any(|it| tag.as_str().ends_with(it)));
    let mut names: Vec<_> =
        found.iter().take(TAGS_MAX).map(|(tag, _)| tag.as_str().to_owned()).collect();
    if names.is_empty() {
        return Some("no image there has a tag".to_owned());
    }
    if found.len() > TAGS_MAX {
        names.push(format!("and {} more", found.len().saturating_sub(TAGS_MAX)));
    }
    Some(format!("there are: {}", names.join(", ")))
}

/// Explains why an image was not copied.
pub(super) fn not_copied(error: &TransferError) -> Failure {
    match error {
        TransferError::Missing { .. } => Failure::of(Exit::NotFound, "IMAGE_NOT_FOUND", error)
            .hint("check tag and digest; the tag was not given at the other place"),
        TransferError::Tag(_) => Failure::of(Exit::Usage, "BAD_REFERENCE", error)
            .hint("choose a shorter tag: sidecars add a suffix to it"),
        TransferError::Mismatch { .. } => Failure::of(Exit::Integrity, "ErrDigestMismatch", error)
            .hint("what is there is damaged: push it again"),
        TransferError::Endless { .. } => Failure::of(Exit::Integrity, "ErrUnsupported", error)
            .hint("an index in an index in an index is not copied"),
        TransferError::Registry(error) => failed(error),
        _ => Failure::of(Exit::Failed, "IO", error),
    }
}

/// Explains why nothing was signed.
pub(super) fn not_signed(error: &PublishError) -> Failure {
    match error {
        PublishError::Registry(error) => failed(error),
        PublishError::Tag(_) => Failure::of(Exit::Usage, "BAD_REFERENCE", error),
        PublishError::Signature(SignatureError::TooMany { .. }) => {
            Failure::of(Exit::Failed, "SIGNATURES_FULL", error)
                .hint("remove signatures that nobody needs any more at the registry")
        }
        _ => Failure::of(Exit::Integrity, "ErrUnsupported", error)
            .hint("see what has that tag; nothing was replaced"),
    }
}

/// Refuses a reference that cannot be written to.
pub(super) fn check_target(to: &Reference, layout: bool) -> Result<(), Failure> {
    let bad = |text: &str| {
        let message = format!("{to} {text}");
        let failure = Failure::new(Exit::Usage, "BAD_REFERENCE", message);
        Err(failure.hint("write host/repository:tag or oci:DIR:TAG"))
    };
    if to.digest.is_some() || to.tag.is_none() {
        return bad("names a digest; what is written needs a tag alone");
    }
    if layout && !matches!(to.place, Place::Layout(_)) {
        return bad("is no layout on disk");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_that_does_not_answer_is_unreachable() {
        let silent = || RegistryError::Unreachable { place: "h".to_owned(), text: "t".to_owned() };
        assert_eq!(failed(&silent()).exit, Exit::Unreachable);
        assert_eq!(failed(&silent()).code, "ErrUnreachable");
        let (place, holder) = ("oci:x".to_owned(), "pid 1".to_owned());
        assert_eq!(failed(&RegistryError::Busy { place, holder }).exit, Exit::Busy);
        let (what, text) = ("manifest".to_owned(), "odd".to_owned());
        let failure = failed(&RegistryError::Malformed { what, text });
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Integrity, "ErrUnsupported"));
    }

    #[test]
    fn what_is_written_has_a_tag_and_no_digest() {
        let check = |text: &str, layout| check_target(&text.parse().unwrap(), layout).is_ok();
        let digest = format!("@sha256:{}", "0".repeat(64));
        assert!(check("oci:d:1", true) && check("h.example/r:1", false));
        assert!(!check("h.example/r:1", true));
        assert!(!check(&format!("oci:d:1{digest}"), true));
        assert!(!check(&format!("h.example/r{digest}"), false));
    }
}
