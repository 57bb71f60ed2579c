//! The kubelet's HTTPS server.
pub(crate) mod query;
use std::sync::Arc;
pub(crate) struct Listener;
#[derive(Debug, thiserror::Error)]
pub enum ServeError {}
impl Listener {
    pub async fn bind(_: &crate::Config) -> Result<Self, ServeError> {
        Ok(Self)
    }
}
pub(crate) async fn serve(
    _: Listener,
    context: Arc<crate::context::Context>,
    _: crate::pod_manager::Workers,
) -> Result<(), ServeError> {
    context.shutdown.wait().await;
    Ok(())
}
