//! Everything that is open while the service runs.

use std::{fs, path::Path, sync::Arc};

use rustls::ServerConfig;
use tokio::{sync::watch, task};
use vfs::{OsVfs, Vfs};

use super::{App, Parts, ServeError, wall_clock};
use crate::{
    auth::switches::Switches,
    config::{Config, TlsFiles},
    keeper::Keeper,
    lifecycle::Lifecycle,
    rollouts::{Opening, Rollouts},
    store::{DataDir, Store},
};

pub(crate) struct Opened {
    pub(crate) app: App,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) stop: watch::Sender<bool>,
    lifecycle: Lifecycle,
    _dir: DataDir,
}

pub(super) async fn open(config: &Config) -> Result<Opened, ServeError> {
    let config = config.clone();
    let opened = task::spawn_blocking(move || open_all(&config)).await;
    opened.map_err(|error| ServeError::Task { reason: error.to_string() })?
}

/// Everything that can refuse the start comes before the start is recorded.
pub(crate) fn open_all(config: &Config) -> Result<Opened, ServeError> {
    let tls = config.tls.as_ref().map(server_config).transpose()?;
    let dir = DataDir::take(&config.data_dir)?;
    Lifecycle::examine(&config.data_dir, config.overrides)?;
    let store = Arc::new(Store::open(&dir, &config.limits)?);
    let opened = open_rest(config, &dir, &store);
    match opened {
        Ok((app, stop, lifecycle)) => Ok(Opened { app, tls, stop, lifecycle, _dir: dir }),
        Err(error) => {
            // The refusal is what the operator must see; the store is sound either way.
            store.close().ok();
            Err(error)
        }
    }
}

fn open_rest(
    config: &Config,
    dir: &DataDir,
    store: &Arc<Store>,
) -> Result<(App, watch::Sender<bool>, Lifecycle), ServeError> {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);
    let switches = Switches { enforcement: config.enforcement, break_glass: config.break_glass };
    let access = Keeper::open(Arc::clone(&vfs), config.data_dir.clone(), switches)?;
    let clock = wall_clock();
    let opening = Opening {
        dir,
        audit_dir: config.audit_dir.clone(),
        vfs: Arc::clone(&vfs),
        clock: Arc::clone(&clock),
        limits: &config.limits,
    };
    // Whoever holds the log of its life holds the directory. Taking the store over comes after that: a start that is
    // refused must not depose the process that serves.
    let lifecycle = Lifecycle::open(&config.data_dir, config.overrides)?;
    let rollouts = Arc::new(Rollouts::open(opening)?);
    if let Err(error) = lifecycle.started() {
        rollouts.close().ok();
        return Err(error.into());
    }
    let (stop, stopping) = watch::channel(false);
    let app = App::new(Parts {
        store: Arc::clone(store),
        rollouts,
        access: Arc::new(access),
        limits: config.limits.clone(),
        clock,
        vfs,
        audit_dir: config.audit_dir.clone(),
        stopping,
    });
    Ok((app, stop, lifecycle))
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, ServeError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| ServeError::TlsFile { path: path.to_owned(), source })
    };
    let server = tls::Server {
        chain: read(&files.certificate)?,
        key: read(&files.key)?,
        client_authorities: files.client_authorities.as_deref().map(read).transpose()?,
    };
    server.server_config().map(Arc::new).map_err(|source| ServeError::Tls { source })
}

pub(super) async fn close(
    opened: Opened,
    served: Result<(), ServeError>,
) -> Result<(), ServeError> {
    let work = move || {
        let app = &opened.app;
        (app.rollouts.close(), app.store.close(), opened.lifecycle.close())
    };
    let closed = task::spawn_blocking(work).await;
    let (rollouts, store, lifecycle) =
        closed.map_err(|error| ServeError::Task { reason: error.to_string() })?;
    served?;
    let not_in_order =
        |error: crate::store::CloseError| ServeError::Close { reason: error.to_string() };
    rollouts.map_err(not_in_order)?;
    store.map_err(not_in_order)?;
    lifecycle?;
    tracing::info!("orchestrator stopped");
    Ok(())
}
