//! The subject that a client certificate names.
//!
//! | row | URIs `autonomy:<subject>` among the alternative names | common names | subject             |
//! |-----|-------------------------------------------------------|--------------|---------------------|
//! | A   | one                                                   | –            | that of the URI     |
//! | B   | several                                               | –            | none                |
//! | C   | none                                                  | one          | the common name     |
//! | D   | none                                                  | none, several | none               |
//!
//! What is not a [`Subject`] in the chosen place is none; no second place is tried. Whether the certificate
//! is valid was decided by the handshake, which reads it with the same code.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::subject::Subject;

/// Longest certificate that is read, in bytes.
const CERTIFICATE_LEN_MAX: usize = 64 << 10;
/// Scheme of the URI that names a subject.
const URI_SCHEME: &str = "autonomy:";

/// DER tags of the subject: `RDNSequence ::= SEQUENCE OF SET OF SEQUENCE { type, value }` (RFC 5280,
/// section 4.1.2.4). The outermost one is read by whoever hands the subject over.
const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Reads the one subject that a certificate names, by the table.
pub(crate) fn subject(der: &[u8]) -> Option<Subject> {
    if der.len() > CERTIFICATE_LEN_MAX {
        return None;
    }
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der).ok()?;
    let mut uris = certificate.valid_uri_names().filter_map(subject_in);
    let name = match (uris.next(), uris.next()) {
        (Some(name), None) => name,
        (Some(_), Some(_)) => return None,
        (None, _) => common_name(certificate.subject())?,
    };
    Subject::new(name).ok()
}

/// The scheme of a URI has no case.
fn subject_in(uri: &str) -> Option<&str> {
    let (scheme, subject) = uri.split_at_checked(URI_SCHEME.len())?;
    scheme.eq_ignore_ascii_case(URI_SCHEME).then_some(subject)
}

/// Reads the one common name of a subject; `None` for none, several, or what cannot be read.
fn common_name(mut names: &[u8]) -> Option<&str> {
    let mut found = None;
    while !names.is_empty() {
        let mut relative;
        (relative, names) = expect(SET, names)?;
        while !relative.is_empty() {
            let attribute;
            (attribute, relative) = expect(SEQUENCE, relative)?;
            let (kind, value) = expect(OBJECT_IDENTIFIER, attribute)?;
            if kind != COMMON_NAME {
                continue;
            }
            let text = element(value)?;
            let is_text = matches!(text.tag, UTF8_STRING | PRINTABLE_STRING);
            if found.is_some() || !is_text || !text.rest.is_empty() {
                return None;
            }
            found = Some(str::from_utf8(text.value).ok()?);
        }
    }
    found
}

/// One element of DER, and what follows it.
struct Element<'a> {
    tag: u8,
    value: &'a [u8],
    rest: &'a [u8],
}

/// Reads an element of this tag, and what follows it.
fn expect(wanted: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let found = element(input)?;
    (found.tag == wanted).then_some((found.value, found.rest))
}

/// Reads the element at the start: its tag, its value, and what follows. Longer ones than 64 KiB are not
/// there, since the certificate is not.
fn element(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    Some(Element { tag, value, rest })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, string::BmpString,
    };

    use super::*;

    pub(crate) fn certificate(names: &[&str], uris: &[&str]) -> Vec<u8> {
        made(|params| {
            for name in names {
                params.distinguished_name.push(DnType::CommonName, *name);
            }
            for uri in uris {
                params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
            }
        })
    }

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[track_caller]
    fn check(names: &[&str], uris: &[&str], want: Option<&str>) {
        let found = subject(&certificate(names, uris));
        assert_eq!(found.as_ref().map(Subject::as_str), want);
    }

    #[test]
    fn a_certificate_names_one_subject_in_one_place() {
        check(&["ada"], &["autonomy:node:robot-7"], Some("node:robot-7")); // A
        check(&[], &["autonomy:bob", "https://example.com/x"], Some("bob"));
        check(&[], &["AUTONOMY:bob"], Some("bob"));
        check(&["ada"], &["autonomy:bob", "autonomy:eve"], None); // B
        check(&["ada"], &["autonomy:bob", "autonomy:bob"], None);
        check(&["ada"], &[], Some("ada")); // C
        check(&["ada"], &["https://example.com/x", "autonom:bob"], Some("ada"));
        check(&[], &[], None); // D
    }

    #[test]
    fn what_is_no_subject_in_the_chosen_place_is_none() {
        for uri in ["autonomy:", "autonomy:not%20one", "autonomy:bootstrap", "autonomy:-x"] {
            check(&["ada"], &[uri], None);
        }
        for name in ["ada lovelace", "anonymous", "ada\0", "\u{430}da", ""] {
            check(&[name], &[], None);
        }
    }

    #[test]
    fn other_attributes_count_for_nothing_and_a_second_common_name_for_refusal() {
        let other = made(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "x".repeat(300));
            params.distinguished_name.push(DnType::CommonName, "ada");
            params.distinguished_name.push(DnType::CountryName, "CH");
        });
        assert_eq!(subject(&other).unwrap().as_str(), "ada");
        let name = |text: &[u8]| {
            let attribute = [&[OBJECT_IDENTIFIER, 3][..], COMMON_NAME, text].concat();
            let len = |it: &[u8]| u8::try_from(it.len()).unwrap();
            let attribute = [&[SEQUENCE, len(&attribute)][..], &attribute].concat();
            [&[SET, len(&attribute)][..], &attribute].concat()
        };
        let ada = name(b"\x0c\x03ada");
        assert_eq!(common_name(&ada), Some("ada"));
        assert_eq!(common_name(&[ada.clone(), ada.clone()].concat()), None, "two of them");
        assert_eq!(common_name(&name(b"\x0c\x03adax")), None, "something after it");
        assert_eq!(common_name(&name(b"\x16\x03ada")), None, "no text of a name");
        for cut in 0..ada.len() {
            assert_eq!(common_name(&ada[..cut]), None, "half of one");
        }
    }

    #[test]
    fn a_common_name_of_wide_characters_is_none() {
        let wide = made(|params| {
            let name = BmpString::try_from("ada").unwrap();
            params.distinguished_name.push(DnType::CommonName, DnValue::BmpString(name));
        });
        assert_eq!(subject(&wide), None);
    }

    #[test]
    fn more_or_less_than_a_certificate_is_none() {
        let der = certificate(&["ada"], &["autonomy:bob"]);
        for cut in 0..der.len() {
            assert_eq!(subject(&der[..cut]), None, "cut at {cut}");
        }
        assert_eq!(subject(&[&der[..], &[0]].concat()), None);
        assert_eq!(subject(&vec![0x30; CERTIFICATE_LEN_MAX + 1]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_fail_otherwise(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            value: u8,
        ) {
            common_name(&bytes);
            subject(&bytes);
            let mut der = certificate(&["ada"], &["autonomy:bob"]);
            let at = at.index(der.len());
            der[at] = value;
            subject(&der);
        }
    }
}
