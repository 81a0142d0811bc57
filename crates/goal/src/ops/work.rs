//! Work that is sent out: it begins once, and is tried again when its time has come.

use jiff::SignedDuration;

use super::OpError;
use crate::{
    store::Store,
    tentacle::{Meta, TentacleStatus},
};

impl Store {
    /// Writes down that somebody begins to work on a tentacle; what it said before is said about earlier work. Returns
    /// what it is from now on; none when it has ended meanwhile, or is not as it was `seen` when the work was decided on:
    /// somebody else began, and nothing is to be begun then.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn begin_work(
        &self,
        wait: SignedDuration,
        name: &str,
        seen: &Meta,
    ) -> Result<Option<Meta>, OpError> {
        let held = self.lock(wait)?;
        let mut meta = self.meta_of(name)?;
        let ended = meta.status == TentacleStatus::Completed || meta.terminal_status.is_some();
        if ended || meta != *seen {
            return Ok(None);
        }
        meta.status = TentacleStatus::Active;
        meta.begun = Some(meta.begun.unwrap_or(0).saturating_add(1));
        meta.heard = Some(self.handoff_len(name)? as u64).filter(|it| *it > 0);
        self.save_meta(&held, name, &meta)?;
        Ok(Some(meta))
    }

    /// Whether the work that was begun as `mine` is still the one that is at work: nobody began it again.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn is_my_work(&self, name: &str, mine: &Meta) -> Result<bool, OpError> {
        let meta = self.meta_of(name)?;
        Ok((&meta.tentacle_id, meta.begun) == (&mine.tentacle_id, mine.begun))
    }

    /// Makes a tentacle idle whose quota may be there again. It stays in the retry queue, which counts its attempts,
    /// until it ends otherwise.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn retry_tentacle(&self, wait: SignedDuration, name: &str) -> Result<(), OpError> {
        let held = self.lock(wait)?;
        let mut meta = self.meta_of(name)?;
        meta.reset(self.handoff_len(name)? as u64);
        self.save_meta(&held, name, &meta)
    }
}
