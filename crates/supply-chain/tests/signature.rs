//! Signatures of images: what cosign reads and writes, and that no byte can change unnoticed.
//!
//! `fixtures/cosign.*` were made with openssl as cosign makes them; the digest is 64 times the digit 1:
//!
//! ```text
//! openssl ecparam -name prime256v1 -genkey -noout -out key
//! openssl pkey -in key -pubout -out cosign.pub
//! openssl ec -in key -pubout -conv_form compressed -out p256-compressed.pub
//! printf '%s' '{"critical":{"identity":{"docker-reference":"registry.example/agents/arm"},"image":{"docker-man…' \
//!   > cosign.payload
//! openssl dgst -sha256 -sign key cosign.payload | base64 -w0 > cosign.signature
//! ```
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use proptest::prelude::*;
use supply_chain::{
    Claims, Descriptor, Digest, Envelope, FormError, IMAGE_MANIFEST, ImageManifest, Manifest,
    Place, PublicKey, RawManifest, SignatureError, SigningKey,
    signature::{
        self, IMAGE_CONFIG, PAYLOAD_LEN_MAX, SIGNATURE_ANNOTATION, SIGNATURES_MAX, SIGNED_AT,
        SIMPLE_SIGNING,
    },
    signature_tag,
};

const PUBLIC: &str = include_str!("fixtures/cosign.pub");
const PAYLOAD: &[u8] = include_bytes!("fixtures/cosign.payload");
const SIGNATURE: &str = include_str!("fixtures/cosign.signature");
const SIGNED: &str = "2026-01-02T03:04:05Z";

fn key() -> SigningKey {
    SigningKey::generate([7; 32])
}

fn digest() -> Digest {
    format!("sha256:{}", "1".repeat(64)).parse().unwrap()
}

fn place() -> Place {
    Place::Repository { host: "registry.example".into(), repository: "agents/arm".into() }
}

fn signed_at() -> Timestamp {
    SIGNED.parse().unwrap()
}

fn ours() -> Envelope {
    signature::sign(&key(), &place(), &digest(), Some(signed_at())).unwrap()
}

fn cosigns() -> Envelope {
    Envelope { payload: PAYLOAD.to_vec(), signature: STANDARD.decode(SIGNATURE).unwrap() }
}

/// A payload with our signature, whatever it says.
fn signed(payload: &str) -> Envelope {
    let signature = key().sign(payload.as_bytes()).to_vec();
    Envelope { payload: payload.as_bytes().to_vec(), signature }
}

fn open(payload: &str) -> Result<Claims, SignatureError> {
    signature::open(&signed(payload), key().public())
}

#[test]
fn what_cosign_signed_is_opened() {
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    let reference = "registry.example/agents/arm".to_owned();
    let claims = Claims { digest: digest(), reference, signed_at: None };
    assert_eq!(signature::open(&cosigns(), &public), Ok(claims));
}

#[test]
fn a_payload_is_the_one_that_cosign_would_write() {
    let ours = signature::sign(&key(), &place(), &digest(), None).unwrap();
    assert_eq!(ours.payload, PAYLOAD);
    // What cosign 1.13.1 uploaded for this image, according to a public trace of its requests.
    let place = Place::Repository {
        host: "index.docker.io".into(),
        repository: "chihjenhuang/cosign1".into(),
    };
    let image = "sha256:4c1c50d0ffc614f90b93b07d778028dc765548e823f676fb027f61d281ac380d";
    let theirs = signature::sign(&key(), &place, &image.parse().unwrap(), None).unwrap();
    let payload = "sha256:b671489ededd1a180bd87235bba00fd83354f9c7d13b71d9f8b66a8e52965ebc";
    assert_eq!(Digest::sha256(&theirs.payload).to_string(), payload);
}

#[test]
fn what_is_signed_says_what_it_is_about_and_when() {
    let text = String::from_utf8(ours().payload).unwrap();
    assert!(
        text.ends_with(r#","optional":{"autonomy.signed-at":"2026-01-02T03:04:05Z"}}"#),
        "{text}"
    );
    let claims = signature::open(&ours(), key().public()).unwrap();
    assert_eq!((claims.digest, claims.signed_at), (digest(), Some(signed_at())));
    let layout = Place::Layout("some dir/\"store\"".into());
    let envelope = signature::sign(&key(), &layout, &digest(), None).unwrap();
    let claims = signature::open(&envelope, key().public()).unwrap();
    assert_eq!(claims.reference, "oci:some dir/\"store\"");
}

#[test]
fn nobody_signs_what_nobody_reads() {
    let blake = signature::sign(&key(), &place(), &Digest::blake3(b""), None);
    assert!(matches!(blake, Err(SignatureError::Form(FormError::Value { .. }))));
    let control = Place::Layout("a\nb".into());
    assert!(signature::sign(&key(), &control, &digest(), None).is_err());
}

#[test]
fn no_byte_of_payload_and_signature_can_change_unnoticed() {
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    for (envelope, public) in [(ours(), key().public().clone()), (cosigns(), public)] {
        for at in 0..envelope.payload.len() {
            for flip in [1, 0x20, 0xff] {
                let mut other = envelope.clone();
                other.payload[at] ^= flip;
                let error = signature::open(&other, &public).unwrap_err();
                assert!(matches!(error, SignatureError::Bad(_)), "{at}"); // C1
            }
        }
        for at in 0..envelope.signature.len() {
            for bit in 0..8 {
                let mut other = envelope.clone();
                other.signature[at] ^= 1 << bit;
                let error = signature::open(&other, &public).unwrap_err();
                assert!(matches!(error, SignatureError::Bad(_)), "{at}");
            }
        }
        let other = SigningKey::generate([8; 32]);
        assert!(signature::open(&envelope, other.public()).is_err());
    }
}

#[test]
fn a_signed_payload_is_still_read_strictly() {
    let good = String::from_utf8(PAYLOAD.to_vec()).unwrap();
    assert!(open(&good).is_ok());
    for (old, new, why) in [
        (r#""type":"#, r#""type":"x","type":"#, "`type` stands twice"),
        ("cosign container", "atomic container", "is not `cosign container image signature`"),
        ("sha256:11", "blake3:11", "is not sha256:"),
        ("sha256:11", "sha256:", "is not sha256:"),
        (r#""type":"#, r#""more":1,"type":"#, "`critical.more` is unknown"),
        (r#""optional":"#, r#""critical2":"#, "`critical2` is unknown"),
        (r#""optional":null"#, r#""optional":1"#, "`optional` is no object"),
        (r#""optional":null"#, r#""optional":{"autonomy.signed-at":1}"#, "is no text"),
        (r#""optional":null"#, r#""optional":{"autonomy.signed-at":"now"}"#, "is no time"),
        (r#""image":{"#, r#""image":{"x":1,"#, "`critical.image.x` is unknown"),
    ] {
        assert!(good.contains(old));
        let error = open(&good.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_other_signers_add_is_no_obstacle() {
    let good = String::from_utf8(PAYLOAD.to_vec()).unwrap();
    for optional in ["null", "{}", r#"{"creator":"x","timestamp":1.5,"a":{"b":[null]}}"#] {
        let text = good.replace("null", optional);
        assert_eq!(open(&text).unwrap().signed_at, None, "{optional}");
    }
    assert!(open(&good.replace(r#","optional":null"#, "")).is_ok());
    assert_eq!(open(&good.replace("registry.example/agents/arm", "")).unwrap().reference, "");
}

#[test]
fn a_payload_is_bounded() {
    let long = "x".repeat(PAYLOAD_LEN_MAX + 1);
    let len = long.len() as u64;
    assert_eq!(open(&long), Err(SignatureError::PayloadLength { len }));
}

#[test]
fn the_tag_is_the_one_that_cosign_looks_for() {
    let tag = format!("sha256-{}.sig", "1".repeat(64));
    assert_eq!(signature_tag(&digest()).unwrap().as_str(), tag);
}

#[test]
fn a_manifest_of_signatures_has_the_form_of_cosign() {
    let made = signature::add(None, &ours(), key().public()).unwrap();
    let raw = RawManifest { media_type: IMAGE_MANIFEST.into(), bytes: made.manifest.to_bytes() };
    assert_eq!(raw.parse(), Ok(Manifest::Image(Box::new(made.manifest.clone()))));
    assert_eq!(made.manifest.config, Descriptor::of(IMAGE_CONFIG, &made.config));
    let config: serde_json::Value = serde_json::from_slice(&made.config).unwrap();
    let payload = Digest::sha256(&ours().payload).to_string();
    assert_eq!(config["rootfs"], serde_json::json!({"type": "layers", "diff_ids": [payload]}));
    let [layer] = made.manifest.layers.as_slice() else { panic!("one layer") };
    assert_eq!((layer.media_type.as_str(), layer.digest.to_string()), (SIMPLE_SIGNING, payload));
    assert_eq!(layer.annotations[SIGNED_AT], SIGNED);
    assert_eq!(layer.annotations[SIGNATURE_ANNOTATION], STANDARD.encode(ours().signature));
}

fn envelopes(
    manifest: &ImageManifest,
    known: &[Envelope],
) -> Vec<Result<Envelope, SignatureError>> {
    let mut fetch = |it: &Descriptor| {
        let found = known.iter().find(|known| Digest::sha256(&known.payload) == it.digest);
        found.map(|it| it.payload.clone()).ok_or(())
    };
    signature::envelopes_of(manifest, &mut fetch).unwrap()
}

#[test]
fn a_signer_keeps_what_others_signed_and_stands_once() {
    let other = SigningKey::generate([8; 32]);
    let others = signature::sign(&other, &place(), &digest(), Some(signed_at())).unwrap();
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    let first = signature::add(None, &cosigns(), &public).unwrap().manifest;
    let second = signature::add(Some(&first), &ours(), key().public()).unwrap().manifest;
    let third = signature::add(Some(&second), &others, other.public()).unwrap().manifest;
    let known = [cosigns(), ours(), others];
    let all: Vec<_> = known.iter().cloned().map(Ok).collect();
    assert_eq!(envelopes(&third, &known), all); // C3
    // The same signer and payload once more: replaced.
    let again = signature::add(Some(&third), &ours(), key().public()).unwrap().manifest;
    assert_eq!(again.layers.len(), 3);
    assert_eq!(again.layers[..2], [third.layers[0].clone(), third.layers[2].clone()]);
    // Another time is another payload: both stay.
    let later = signature::sign(&key(), &place(), &digest(), None).unwrap();
    let more = signature::add(Some(&again), &later, key().public()).unwrap();
    assert_eq!(more.manifest.layers.len(), 4);
}

#[test]
fn a_signature_of_another_key_is_not_added() {
    let other = SigningKey::generate([8; 32]);
    let error = signature::add(None, &ours(), other.public()).unwrap_err();
    assert!(matches!(error, SignatureError::Bad(_)));
}

#[test]
fn signatures_are_bounded_when_added_and_when_read() {
    let mut manifest = None;
    let at = |second: usize| Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    let sign = |it| signature::sign(&key(), &place(), &digest(), Some(at(it))).unwrap();
    for index in 0..SIGNATURES_MAX {
        let made = signature::add(manifest.as_ref(), &sign(index), key().public()).unwrap();
        manifest = Some(made.manifest);
    }
    let mut manifest = manifest.unwrap();
    let one_more = sign(SIGNATURES_MAX);
    let error = SignatureError::TooMany { found: SIGNATURES_MAX + 1 };
    assert_eq!(signature::add(Some(&manifest), &one_more, key().public()), Err(error.clone()));
    let mut known: Vec<_> = (0..SIGNATURES_MAX).map(sign).collect();
    assert!(envelopes(&manifest, &known).iter().all(Result::is_ok));
    manifest.layers.push(signature::to_layer(&one_more));
    known.push(one_more);
    let found = envelopes(&manifest, &known);
    assert_eq!((found.len(), found.last()), (SIGNATURES_MAX + 1, Some(&Err(error))));
}

#[test]
fn a_signature_that_cannot_be_read_is_not_taken_for_none() {
    let layer = signature::to_layer(&ours());
    let damaged = |change: &dyn Fn(&mut Descriptor)| {
        let mut layer = layer.clone();
        change(&mut layer);
        envelopes(&ImageManifest::artifact("x", vec![layer]), &[ours()])
    };
    assert_eq!(damaged(&|_| ()), [Ok(ours())]);
    let annotation = [Err(SignatureError::Annotation)];
    assert_eq!(damaged(&|it| it.annotations.clear()), annotation);
    for text in [String::new() + "%", "A".repeat(1 << 16)] {
        let change = |it: &mut Descriptor| {
            it.annotations.insert(SIGNATURE_ANNOTATION.to_owned(), text.clone());
        };
        assert_eq!(damaged(&change), annotation);
    }
    let len = PAYLOAD_LEN_MAX as u64 + 1;
    assert_eq!(damaged(&|it| it.size = len), [Err(SignatureError::PayloadLength { len })]);
    // What is no signature is left out, and what cannot be fetched is the error of who fetches.
    assert_eq!(damaged(&|it| it.media_type = "text/plain".to_owned()), []);
    let manifest = ImageManifest::artifact("x", vec![layer.clone()]);
    assert_eq!(signature::envelopes_of(&manifest, &mut |_| Err("down")), Err("down"));
}

#[test]
fn the_annotation_does_not_decide_when_a_thing_was_signed() {
    let mut layer = signature::to_layer(&ours());
    layer.annotations.insert(SIGNED_AT.to_owned(), "2099-01-01T00:00:00Z".to_owned());
    let found = envelopes(&ImageManifest::artifact("x", vec![layer]), &[ours()]);
    let claims = signature::open(found[0].as_ref().unwrap(), key().public()).unwrap();
    assert_eq!(claims.signed_at, Some(signed_at())); // C2
}

proptest! {
    #[test]
    fn what_is_signed_is_opened(
        secret in any::<[u8; 32]>(),
        content in any::<[u8; 8]>(),
        path in "[^\\p{Cc}]{1,20}",
        second in prop::option::of(0_i64..4_000_000_000),
    ) {
        let key = SigningKey::generate(secret);
        let signed_at = second.map(|it| Timestamp::from_second(it).unwrap());
        let (place, digest) = (Place::Layout(path.into()), Digest::sha256(&content));
        let envelope = signature::sign(&key, &place, &digest, signed_at).unwrap();
        let claims = Claims { digest, reference: place.to_string(), signed_at };
        prop_assert_eq!(signature::open(&envelope, key.public()), Ok(claims));
    }
}
