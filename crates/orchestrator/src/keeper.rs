//! Who may do what, while the service runs: the state of `auth`, its file, its brake.
//!
//! # Invariants
//!
//! * **U1** A change is on record as `pending` before it is made and with its outcome afterwards; one that cannot be
//!   put on record is not made.
//! * **U2** A new state counts only after it is durable.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use audit::Outcome;
use jiff::Timestamp;
use tokio::{task, time::Instant};
use vfs::Vfs;

use crate::{
    auth::{
        access::{Access, Change, Effect},
        decide::Allowed,
        file::{self, FileError},
        slow::Brake,
        switches::Switches,
    },
    rollouts::Draft,
    routes::gate::Denials,
    server::{App, Refusal},
};

/// Who may do what, while the service runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    current: RwLock<Arc<Access>>,
    /// One change at a time (U2).
    changing: Arc<tokio::sync::Mutex<()>>,
    brake: Mutex<Brake>,
    denials: Denials,
    switches: Switches,
    started: Instant,
}

impl Keeper {
    /// Reads the state of a data directory. Blocks.
    pub(crate) fn open(
        vfs: Arc<dyn Vfs>,
        dir: PathBuf,
        switches: Switches,
    ) -> Result<Self, FileError> {
        let access = file::open(&*vfs, &dir)?;
        Ok(Self {
            vfs,
            dir,
            current: RwLock::new(Arc::new(access)),
            changing: Arc::default(),
            brake: Mutex::new(Brake::default()),
            denials: Denials::new(),
            switches,
            started: Instant::now(),
        })
    }

    /// The state that counts now.
    pub(crate) fn current(&self) -> Arc<Access> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) const fn switches(&self) -> Switches {
        self.switches
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn with_brake<T>(&self, act: impl FnOnce(&mut Brake) -> T) -> T {
        let mut brake: MutexGuard<'_, Brake> =
            self.brake.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut brake)
    }

    pub(crate) const fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Makes a change: decided, on record, durable, and only then in force (U1, U2). A caller that goes away does not
    /// end it in the middle: the next change would then meet a file that is still being written.
    pub(crate) async fn change(
        self: &Arc<Self>,
        app: &App,
        change: Change,
        by: &Allowed,
        draft: Draft,
    ) -> Result<(Arc<Access>, Effect), Refusal> {
        let (keeper, app, by) = (Arc::clone(self), app.clone(), by.clone());
        let whole = tokio::spawn(async move {
            let _one = Arc::clone(&keeper.changing).lock_owned().await;
            keeper.change_alone(&app, &change, &by, draft).await
        });
        whole.await.map_err(|error| Refusal::Internal(error.to_string()))?
    }

    async fn change_alone(
        &self,
        app: &App,
        change: &Change,
        by: &Allowed,
        draft: Draft,
    ) -> Result<(Arc<Access>, Effect), Refusal> {
        let decided = self.current().apply(change, by, Timestamp::now());
        let (next, effect) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                let record = draft.refused(error.code(), &error.to_string(), app.now());
                app.rollouts.record(vec![record]).await?;
                return Err(error.into());
            }
        };
        let next = Arc::new(next);
        if next == self.current() {
            return Ok((next, effect));
        }
        let pending = draft.clone().record(Outcome::Pending, app.now());
        app.rollouts.record(vec![pending]).await?;
        let (vfs, dir, state) = (Arc::clone(&self.vfs), self.dir.clone(), Arc::clone(&next));
        let saved = task::spawn_blocking(move || file::save(&*vfs, &dir, &state)).await;
        let saved = saved.map_err(|error| Refusal::Internal(error.to_string()))?;
        if let Err(error) = saved {
            let record = draft.refused(error.code(), &error.to_string(), app.now());
            app.rollouts.record(vec![record]).await?;
            return Err(error.into());
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        // It is made and stands in the trail as pending; what cannot be added now is in the log.
        let done = app.rollouts.record(vec![draft.record(Outcome::Success, app.now())]).await;
        if let Err(error) = done {
            tracing::error!(%error, "a change of roles is on record as pending only");
        }
        Ok((next, effect))
    }
}
