//! Lists that come in pages.

use api::{exit::Exit, rollout::LIMIT_MAX};

use crate::failure::Failure;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next part begins; `None` after the last one.
    pub(crate) next_cursor: Option<String>,
}

/// Reads parts until there are `limit` entries or no more, and says whether there are more.
///
/// `ask` gets the size of a part and where it begins. A part that brings nothing and is not the last one
/// ends it with a failure: it could go on for ever.
pub(crate) fn follow<T>(
    limit: usize,
    mut ask: impl FnMut(u32, Option<&str>) -> Result<Page<T>, Failure>,
) -> Result<(Vec<T>, bool), Failure> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let left = limit.saturating_sub(items.len());
        let size = u32::try_from(left).unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
        let page = ask(size, cursor.as_deref())?;
        let brought = page.items.len();
        items.extend(page.items);
        let surplus = items.len() > limit;
        items.truncate(limit);
        let Some(next) = page.next_cursor else { return Ok((items, surplus)) };
        if surplus || items.len() == limit {
            return Ok((items, true));
        }
        if brought == 0 || cursor.as_ref() == Some(&next) {
            let message = "the list of the control plane does not come to an end";
            return Err(Failure::new(Exit::Failed, "CONTROL_PLANE_UNREADABLE", message)
                .hint("check that the URL is that of a control plane of this version"));
        }
        cursor = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of `total` numbers in parts of at most `part`.
    fn read(limit: usize, total: usize, part: usize) -> (Vec<usize>, bool) {
        let list = follow(limit, |size, cursor| {
            let from: usize = cursor.map_or(0, |it| it.parse().unwrap());
            let until = (from + part.min(size as usize)).min(total);
            let next_cursor = (until < total).then(|| until.to_string());
            Ok(Page { items: (from..until).collect(), next_cursor })
        });
        list.unwrap()
    }

    #[test]
    fn a_list_is_read_up_to_the_limit_and_says_when_there_is_more() {
        assert_eq!(read(10, 3, 2), ((0..3).collect(), false));
        assert_eq!(read(3, 3, 2), ((0..3).collect(), false));
        assert_eq!(read(2, 3, 2), ((0..2).collect(), true));
        assert_eq!(read(2500, 2501, 1000), ((0..2500).collect(), true));
        assert_eq!(read(5, 0, 5), (Vec::new(), false));
    }

    #[test]
    fn a_list_that_brings_nothing_or_goes_in_a_circle_is_a_failure() {
        let circle = |items: Vec<u8>| {
            let page = || Page { items: items.clone(), next_cursor: Some("c".to_owned()) };
            follow(10, |_, _| Ok(page())).unwrap_err().code
        };
        assert_eq!(circle(vec![1]), "CONTROL_PLANE_UNREADABLE");
        assert_eq!(circle(vec![]), "CONTROL_PLANE_UNREADABLE");
    }
}
