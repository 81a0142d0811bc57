//! A simulated robot on a grid, and the tools that move it.
//!
//! * **B1** The robot changes only inside a tool, and tools run only after an allow is on record.
//! * **B2** The same seed gives the same obstacles and the same turns.

use std::sync::{Arc, Mutex, PoisonError};

use runtime::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, Tools};
use serde_json::{Value, json};

/// Cells on a side.
const SIDE: i64 = 12;
/// Where the robot begins.
const START: (i64, i64) = (SIDE / 2, SIDE / 2);
/// How many cells are obstacles, at most.
const OBSTACLES: usize = 24;
/// What a step takes from the battery, in percent.
const STEP_COST: u8 = 7;
/// What one charge gives, in percent.
const CHARGE: u8 = 40;
const FULL: u8 = 100;

/// A sequence of numbers that looks like chance (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// The robot and its world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Robot {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) battery: u8,
    /// Steps that were taken.
    pub(super) steps: u64,
    obstacles: Vec<(i64, i64)>,
}

/// The robot, as tools and the demo share it.
#[derive(Clone, Debug)]
pub(super) struct World(Arc<Mutex<Robot>>);

impl World {
    /// Puts a robot in the middle and obstacles where the dice say.
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut cell = || i64::try_from(dice.below(SIDE.unsigned_abs())).unwrap_or_default();
        let obstacles = (0..OBSTACLES).map(|_| (cell(), cell())).filter(|it| *it != START);
        let obstacles = obstacles.collect();
        Self(Arc::new(Mutex::new(Robot {
            x: START.0,
            y: START.1,
            battery: FULL,
            steps: 0,
            obstacles,
        })))
    }

    /// How the robot is now.
    pub(super) fn now(&self) -> Robot {
        self.change(|it| it.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Robot) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tools that look at it and move it.
    pub(super) fn tools(&self) -> Tools {
        Tools::default()
            .with(Look(self.clone()))
            .with(Charge(self.clone()))
            .with(Move(self.clone()))
    }
}

impl Robot {
    fn shown(&self) -> Value {
        json!({ "x": self.x, "y": self.y, "battery": self.battery, "steps": self.steps })
    }

    fn step(&mut self, dx: i64, dy: i64) -> Result<(), String> {
        let to = (self.x.saturating_add(dx), self.y.saturating_add(dy));
        let inside = |it: i64| (0..SIDE).contains(&it);
        if !inside(to.0) || !inside(to.1) {
            return Err(format!("a wall is at ({}, {})", to.0, to.1));
        }
        if self.obstacles.contains(&to) {
            return Err(format!("an obstacle is at ({}, {})", to.0, to.1));
        }
        self.battery = self
            .battery
            .checked_sub(STEP_COST)
            .ok_or_else(|| format!("the battery is at {} %", self.battery))?;
        (self.x, self.y) = to;
        self.steps += 1;
        Ok(())
    }
}

#[derive(Debug)]
struct Look(World);

impl Tool for Look {
    fn kind(&self) -> &'static str {
        "tool.gazebo.state"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn run<'a>(&'a self, _: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move { Ok(self.0.now().shown()) })
    }
}

#[derive(Debug)]
struct Charge(World);

impl Tool for Charge {
    fn kind(&self) -> &'static str {
        "tool.gazebo.charge"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn run<'a>(&'a self, _: &'a ToolCall) -> ToolFuture<'a> {
        let charge = |robot: &mut Robot| {
            robot.battery = robot.battery.saturating_add(CHARGE).min(FULL);
            robot.shown()
        };
        Box::pin(async move { Ok(self.0.change(charge)) })
    }
}

#[derive(Debug)]
struct Move(World);

impl Tool for Move {
    fn kind(&self) -> &'static str {
        "tool.gazebo.move"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "dx": { "type": "integer" }, "dy": { "type": "integer" } },
            "required": ["dx", "dy"],
        })
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        let cells = |key: &str| {
            let value = call.params.get(key).and_then(Value::as_i64);
            value.ok_or_else(|| {
                ToolError::new(ToolErrorCode::BadParams, format!("`{key}` is no number of cells"))
            })
        };
        Box::pin(async move {
            let (dx, dy) = (cells("dx")?, cells("dy")?);
            self.0.change(|robot| {
                robot.step(dx, dy).map_err(|it| ToolError::new(ToolErrorCode::Failed, it))?;
                Ok(robot.shown())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let world = |seed| World::new(&mut Dice::new(seed)).now();
        assert_eq!(world(7), world(7));
        assert_ne!(world(7), world(8));
    }

    #[test]
    fn walls_obstacles_and_an_empty_battery_stop_the_robot() {
        let robot = Robot { x: 0, y: 0, battery: FULL, steps: 0, obstacles: vec![(1, 0)] };
        let mut moved = robot.clone();
        assert!(moved.step(-1, 0).unwrap_err().contains("wall"));
        assert!(moved.step(1, 0).unwrap_err().contains("obstacle"));
        assert_eq!(moved, robot, "a step that failed changes nothing");
        moved.step(0, 1).unwrap();
        assert_eq!((moved.x, moved.y, moved.battery, moved.steps), (0, 1, FULL - STEP_COST, 1));
        moved.battery = STEP_COST - 1;
        assert!(moved.step(0, 1).unwrap_err().contains("battery"));
    }
}
