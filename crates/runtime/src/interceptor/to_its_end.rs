//! Work that goes on when nobody waits for it any more (I3).
//!
//! | the caller                 | the work                                             |
//! |----------------------------|------------------------------------------------------|
//! | waits                      | runs in the task of the caller                       |
//! | goes away before the end   | goes on from where it is, in a task of its own       |
//!
//! A task for each call would do as well, and cost each call two changes of tasks for the sake of the
//! few whose caller goes away.

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Work that runs to its end, whatever becomes of this.
pub(super) struct ToItsEnd<F: Future + Send + 'static>
where
    F::Output: Send + 'static,
{
    /// Nothing after its end.
    work: Option<Pin<Box<F>>>,
    executor: Handle,
}

/// The work panicked.
#[derive(Debug)]
pub(super) struct Broken(Box<dyn Any + Send>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.downcast_ref::<&str>().copied();
        let text = text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str));
        f.write_str(text.unwrap_or("it panicked without a text"))
    }
}

impl<F: Future + Send + 'static> ToItsEnd<F>
where
    F::Output: Send + 'static,
{
    /// For the executor that runs this.
    pub(super) fn new(work: F) -> Self {
        Self { work: Some(Box::pin(work)), executor: Handle::current() }
    }
}

impl<F: Future + Send + 'static> Future for ToItsEnd<F>
where
    F::Output: Send + 'static,
{
    type Output = Result<F::Output, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody polls a future after its end.
        let Some(work) = &mut self.work else { return Poll::Pending };
        // Work that panicked is dropped and never looked at again.
        let ended = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panic) => Err(Broken(panic)),
        };
        self.work = None;
        Poll::Ready(ended)
    }
}

impl<F: Future + Send + 'static> Drop for ToItsEnd<F>
where
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.executor.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, oneshot};

    use super::*;

    #[tokio::test]
    async fn work_whose_caller_goes_away_goes_on_from_where_it_is() {
        let (go, at_work) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (done, is_done) = oneshot::channel();
        let (goes, works) = (Arc::clone(&go), Arc::clone(&at_work));
        let work = ToItsEnd::new(async move {
            works.notify_one();
            goes.notified().await;
            done.send("the end").ok();
        });
        let caller = tokio::spawn(work);
        at_work.notified().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        go.notify_one();
        assert_eq!(is_done.await, Ok("the end"));
    }

    #[tokio::test]
    async fn work_that_nobody_has_begun_to_wait_for_is_done_too() {
        let (done, is_done) = oneshot::channel();
        drop(ToItsEnd::new(async move { done.send(()).ok() }));
        assert_eq!(is_done.await, Ok(()));
    }

    #[tokio::test]
    async fn a_panic_comes_back_with_its_text() {
        let broken: Result<(), Broken> = ToItsEnd::new(async { panic!("broken") }).await;
        assert_eq!(broken.unwrap_err().to_string(), "broken");
        let number = 1;
        let work = ToItsEnd::new(async move { panic!("broken {number}") });
        let broken: Result<(), Broken> = work.await;
        assert_eq!(broken.unwrap_err().to_string(), "broken 1");
    }
}
