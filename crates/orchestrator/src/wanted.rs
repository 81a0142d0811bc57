//! What the nodes of a channel are to do, read once for all of them.
//!
//! * **C1** What is remembered is used as long as no plan and no release has changed since it was read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rollout_store::{Channel, NodeId, ReadError, RolloutReader, release::Desired, store::Offer};

use crate::rollouts::{QueryError, Rollouts};

/// Channels that are remembered.
const CHANNELS_MAX: usize = 256;

/// What was read, and at which version of the plans.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    version: u64,
    channels: HashMap<Channel, Arc<Offer>>,
}

impl Wanted {
    /// What a node is to do.
    pub(crate) async fn of(
        &self,
        rollouts: &Rollouts,
        node: &NodeId,
    ) -> Result<Desired, QueryError> {
        // Before anything is read: a change in between makes what is read count as older than it is.
        let version = rollouts.version();
        let (known, node) = (Arc::clone(&self.known), node.clone());
        rollouts
            .read(move |reader| {
                let seen = reader.node(&node)?;
                let channel = seen.as_ref().map_or_else(Channel::standard, |it| it.channel.clone());
                let offer = offer(&known, version, &channel, reader)?;
                reader.desired_of(&node, seen.as_ref(), &offer)
            })
            .await
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn offer(
    known: &Mutex<Known>,
    version: u64,
    channel: &Channel,
    reader: &dyn RolloutReader,
) -> Result<Arc<Offer>, ReadError> {
    {
        let known = lock(known);
        if let Some(found) = known.channels.get(channel).filter(|_| known.version == version) {
            return Ok(Arc::clone(found));
        }
    }
    let read = Arc::new(reader.offer(channel)?);
    let mut known = lock(known);
    if known.version < version || known.channels.len() >= CHANNELS_MAX {
        known.channels.clear();
        known.version = version;
    }
    if known.version == version {
        known.channels.insert(channel.clone(), Arc::clone(&read));
    }
    Ok(read)
}
