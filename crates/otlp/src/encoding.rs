//! The two encodings of OTLP/HTTP.

use std::fmt;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// The JSON mapping of OTLP.
    Json,
}

impl Encoding {
    /// Both encodings.
    pub const ALL: [Self; 2] = [Self::Protobuf, Self::Json];

    /// Returns the value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// Reads the value of a `Content-Type` header; parameters such as `charset` are ignored.
    ///
    /// Returns `None` for every other media type.
    pub fn from_content_type(header: &str) -> Option<Self> {
        let media_type = header.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|it| media_type.eq_ignore_ascii_case(it.content_type()))
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.content_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_recognised_in_any_case_and_with_parameters() {
        for (header, want) in [
            ("application/x-protobuf", Some(Encoding::Protobuf)),
            ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
            (" application/json ", Some(Encoding::Json)),
            ("application/problem+json", None),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(Encoding::from_content_type(header), want, "{header}");
        }
    }
}
