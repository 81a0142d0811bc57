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

use crate::{
    Digest, IMAGE_INDEX, Manifest, RawManifest, Referrers, RegistryError,
    oci::{Remote, media_type},
};

/// Longest list, all of its pages together, in bytes.
const LIST_LEN_MAX: u64 = 4 << 20;
/// Most pages of a list.
const PAGES_MAX: usize = 16;

impl Remote {
    pub(super) async fn list_referrers(
        &self,
        subject: &Digest,
    ) -> Result<Referrers, RegistryError> {
        let mut ask = self.ask(Method::GET, "referrers", subject);
        ask.accept = Some(IMAGE_INDEX.to_owned());
        let what = format!("the referrers of {subject}");
        let (mut all, mut left) = (Vec::new(), LIST_LEN_MAX);
        for page in 0..PAGES_MAX {
            let response = self.http.send(&ask).await?;
            if !self.is_list(&response, &ask.what)? {
                if page == 0 {
                    return Ok(Referrers::NotOffered);
                }
                let text = "a page of it is no list".to_owned();
                return Err(RegistryError::Malformed { what, text });
            }
            let next = next_page(response.headers());
            let here = response.url().clone();
            let bytes = self.http.bounded(response, left, &what).await?;
            left = left.saturating_sub(bytes.len() as u64);
            let raw = RawManifest { media_type: IMAGE_INDEX.to_owned(), bytes };
            match raw.parse() {
                Ok(Manifest::Index(index)) => all.extend(index.manifests),
                Ok(Manifest::Image(_)) => {}
                Err(source) => return Err(RegistryError::Manifest { what, source }),
            }
            let Some(next) = next else { return Ok(Referrers::Listed(all)) };
            let text = "its next page is no URL".to_owned();
            let next = here
                .join(&next)
                .map_err(|_| RegistryError::Malformed { what: what.clone(), text })?;
            if !self.http.address.is_home(&next) {
                return Err(self.http.redirected(&next));
            }
            ask.url = next;
        }
        let text = format!("it has more than {PAGES_MAX} pages");
        Err(RegistryError::Malformed { what, text })
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
