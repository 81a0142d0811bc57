//! The list of what refers to a manifest.
//!
//! | answer                          | meaning                              |
//! |---------------------------------|--------------------------------------|
//! | 200, an OCI index               | the list, perhaps with more pages    |
//! | 200, anything else              | no such list here                    |
//! | 404 and other 4xx               | no such list here                    |
//! | 401, 403, 408, 429, 5xx, none   | an error: nothing was found out (Q2) |

use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, LINK},
};

use url::Url;

use crate::{
    Descriptor, Digest, IMAGE_INDEX, Manifest, RawManifest, Referrers, RegistryError,
    oci::{Remote, http::Ask, media_type},
};

/// Longest list, all of its pages together, in bytes.
const LIST_LEN_MAX: u64 = 4 << 20;
/// Most pages of a list.
const PAGES_MAX: usize = 16;

/// One page of a list.
struct Page {
    entries: Vec<Descriptor>,
    next: Option<Url>,
    len: u64,
}

impl Remote {
    pub(super) async fn list_referrers(
        &self,
        subject: &Digest,
    ) -> Result<Referrers, RegistryError> {
        let mut ask = self.ask(Method::GET, "referrers", subject);
        ask.accept = Some(IMAGE_INDEX.to_owned());
        let what = format!("the referrers of {subject}");
        let Some(mut page) = self.page(&ask, LIST_LEN_MAX, &what).await? else {
            return Ok(Referrers::NotOffered);
        };
        let (mut all, mut left) = (Vec::new(), LIST_LEN_MAX);
        let malformed = |text: &str| {
            let text = text.to_owned();
            RegistryError::Malformed { what: what.clone(), text }
        };
        for _ in 0..PAGES_MAX {
            all.append(&mut page.entries);
            left = left.saturating_sub(page.len);
            let Some(next) = page.next.take() else { return Ok(Referrers::Listed(all)) };
            ask.url = next;
            let more = self.page(&ask, left, &what).await?;
            page = more.ok_or_else(|| malformed("a page of it is no list"))?;
        }
        Err(malformed(&format!("it has more than {PAGES_MAX} pages")))
    }

    /// `None` when it is no list.
    async fn page(&self, ask: &Ask, limit: u64, what: &str) -> Result<Option<Page>, RegistryError> {
        let response = self.http.send(ask).await?;
        if !self.is_list(&response, &ask.what)? {
            return Ok(None);
        }
        let next = match next_page(response.headers()) {
            Some(text) => Some(self.next(response.url(), &text, what)?),
            None => None,
        };
        let bytes = self.http.bounded(response, limit, what).await?;
        let len = bytes.len() as u64;
        let raw = RawManifest { media_type: IMAGE_INDEX.to_owned(), bytes };
        let entries = match raw.parse() {
            Ok(Manifest::Index(index)) => index.manifests,
            Ok(Manifest::Image(_)) => Vec::new(),
            Err(source) => {
                return Err(RegistryError::Manifest { what: what.to_owned(), source });
            }
        };
        Ok(Some(Page { entries, next, len }))
    }

    fn next(&self, from: &Url, text: &str, what: &str) -> Result<Url, RegistryError> {
        let next = from.join(text).map_err(|_| RegistryError::Malformed {
            what: what.to_owned(),
            text: "its next page is no URL".to_owned(),
        })?;
        if self.http.address.is_home(&next) { Ok(next) } else { Err(self.http.redirected(&next)) }
    }

    /// Reads the table of this module.
    fn is_list(&self, response: &Response, what: &str) -> Result<bool, RegistryError> {
        match response.status() {
            StatusCode::OK => Ok(media_type(response.headers()) == IMAGE_INDEX),
            status
                if matches!(status.as_u16(), 401 | 403 | 408 | 429)
                    || !status.is_client_error() =>
            {
                Err(self.http.refused(status, what))
            }
            _ => Ok(false),
        }
    }
}

/// The URL of the next page (RFC 8288).
fn next_page(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(LINK).iter().filter_map(|it| it.to_str().ok());
    texts.flat_map(|it| it.split(',')).find_map(|link| {
        let (url, params) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |it: &str| matches!(it.trim(), "rel=next" | "rel=\"next\"");
        params.split(';').any(is_next).then(|| url.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_what_the_header_says() {
        let next = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(LINK, text.parse().unwrap());
            next_page(&headers)
        };
        assert_eq!(next("</a?n=2>; rel=\"next\""), Some("/a?n=2".to_owned()));
        assert_eq!(next("</b>; rel=prev, </a>;rel=next"), Some("/a".to_owned()));
        assert_eq!(next("</b>; rel=\"prev\""), None);
        assert_eq!(next("/b; rel=\"next\""), None);
        assert_eq!(next_page(&HeaderMap::new()), None);
    }
}
