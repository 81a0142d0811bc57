//! Nodes follow plans of a control plane that enforces permissions, with real processes.

use std::path::Path;

use anyhow::Result;
use e2e::stories::{Narrator, rollout_loop};

fn told(story: fn(&Path, &mut Narrator) -> Result<()>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut narrator = Narrator::quiet();
    story(dir.path(), &mut narrator)?;
    narrator.finish().into_result()
}

#[test]
fn a_staged_plan_is_completed_although_the_control_plane_is_killed_on_the_way() -> Result<()> {
    told(rollout_loop::completed)
}

#[test]
fn a_release_that_is_tampered_with_between_stages_fails_its_plan_and_is_rolled_back() -> Result<()>
{
    told(rollout_loop::rolled_back)
}
