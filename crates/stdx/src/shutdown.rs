//! One signal that everything which runs listens to.

use tokio_util::sync::CancellationToken;

/// Told when the process, or a part of it, is to stop. Clones hear the same signal.
#[derive(Clone, Debug)]
pub struct Shutdown(CancellationToken);

/// Gives the signal; dropping it gives the signal too, so that nothing is orphaned by an early return.
#[derive(Debug)]
pub struct Trigger(CancellationToken);

impl Shutdown {
    #[allow(clippy::new_ret_no_self, reason = "the two halves are made together")]
    pub fn new() -> (Trigger, Self) {
        let token = CancellationToken::new();
        (Trigger(token.clone()), Self(token))
    }

    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// A part that can be stopped alone, and stops with the whole.
    pub fn child(&self) -> (Trigger, Self) {
        let token = self.0.child_token();
        (Trigger(token.clone()), Self(token))
    }
}

impl Trigger {
    pub fn shut_down(&self) {
        self.0.cancel();
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
