//! One thread, many threads, many tasks: each makes its next call when the last one is answered.

use std::{
    sync::{Arc, Barrier, OnceLock},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow};
use tokio::sync::oneshot;

use crate::sample::{Recorder, Sample, Window};

/// What a submission is answered with.
pub(crate) type Answer = Result<(), String>;

/// One caller on this thread.
pub(crate) fn one(window: Window, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    let mut recorder = Recorder::new(Instant::now(), window);
    loop {
        let start = Instant::now();
        call()?;
        if !recorder.ended(start) {
            return Recorder::sum(vec![recorder]);
        }
    }
}

/// `callers` threads. `caller` makes the call of one of them, given its number.
pub(crate) fn threads<C: FnMut() -> Result<()>>(
    callers: usize,
    window: Window,
    caller: impl Fn(u64) -> Result<C> + Sync,
) -> Result<Sample> {
    let (ready, begin) = (Barrier::new(callers), OnceLock::new());
    let run = |number: u64| -> Result<Recorder> {
        let call = caller(number);
        // Also when there is no call to make: the others wait for everybody.
        ready.wait();
        let mut call = call?;
        let mut recorder = Recorder::new(*begin.get_or_init(Instant::now), window);
        loop {
            let start = Instant::now();
            call()?;
            if !recorder.ended(start) {
                return Ok(recorder);
            }
        }
    };
    let recorders: Result<Vec<Recorder>> = thread::scope(|scope| {
        let run = &run;
        let all: Vec<_> =
            (0..callers as u64).map(|number| scope.spawn(move || run(number))).collect();
        all.into_iter().map(|it| it.join().map_err(|_| anyhow!("a caller panicked"))?).collect()
    });
    Recorder::sum(recorders?)
}

/// `callers` tasks on one worker thread a core, as a server has them. `submit` does not wait; the
/// answer wakes the task.
pub(crate) fn tasks(
    callers: usize,
    window: Window,
    submit: impl Fn(oneshot::Sender<Answer>) -> Result<()> + Send + Sync + 'static,
) -> Result<Sample> {
    let submit = Arc::new(submit);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores()).build()?;
    let begin = Instant::now();
    let all: Vec<_> = (0..callers)
        .map(|_| {
            let submit = Arc::clone(&submit);
            runtime.spawn(async move {
                let mut recorder = Recorder::new(begin, window);
                let mut more = true;
                while more {
                    let start = Instant::now();
                    let (sender, receiver) = oneshot::channel();
                    submit(sender)?;
                    receiver.await?.map_err(|text| anyhow!(text))?;
                    more = recorder.ended(start);
                }
                anyhow::Ok(recorder)
            })
        })
        .collect();
    let recorders: Result<Vec<Recorder>> =
        all.into_iter().map(|task| runtime.block_on(task)?).collect();
    Recorder::sum(recorders?)
}

/// Cores of this machine that this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
