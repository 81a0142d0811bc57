//! Opens the place that a reference names.

use std::sync::Arc;

use vfs::Vfs;

use crate::{
    Layout, Place, Reference, Registry, RegistryError,
    oci::{Options, Remote},
};

/// Opens the layout or the repository of a reference. A layout is read through `vfs`; of a registry nothing is asked yet.
///
/// # Errors
///
/// [`RegistryError`] when there is no such layout, or the names are none.
pub fn open_place(
    vfs: Arc<dyn Vfs>,
    reference: &Reference,
    options: &Options,
) -> Result<Box<dyn Registry>, RegistryError> {
    Ok(match &reference.place {
        Place::Layout(dir) => Box::new(Layout::open(vfs, dir)?),
        Place::Repository { host, repository } => {
            Box::new(Remote::new(host, repository, options.clone())?)
        }
    })
}
