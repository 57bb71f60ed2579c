//! The plugins of one profile, by extension point and in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Bind, Filter, Permit, Plugin, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore, Reserve, Score,
};

/// One profile's plugins.
pub struct Framework {
    pub scheduler_name: String,
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    pub pre_filter: Vec<Arc<dyn PreFilter>>,
    pub filter: Vec<Arc<dyn Filter>>,
    pub post_filter: Vec<Arc<dyn PostFilter>>,
    pub pre_score: Vec<Arc<dyn PreScore>>,
    /// With their weights.
    pub score: Vec<(Arc<dyn Score>, i64)>,
    pub reserve: Vec<Arc<dyn Reserve>>,
    pub permit: Vec<Arc<dyn Permit>>,
    pub pre_bind: Vec<Arc<dyn PreBind>>,
    pub bind: Vec<Arc<dyn Bind>>,
    by_name: BTreeMap<&'static str, Arc<dyn Plugin>>,
}

impl Framework {
    pub fn builder(scheduler_name: impl Into<String>) -> Builder {
        Builder(Self {
            scheduler_name: scheduler_name.into(),
            pre_enqueue: vec![],
            pre_filter: vec![],
            filter: vec![],
            post_filter: vec![],
            pre_score: vec![],
            score: vec![],
            reserve: vec![],
            permit: vec![],
            pre_bind: vec![],
            bind: vec![],
            by_name: BTreeMap::new(),
        })
    }

    /// The plugin of that name, at whatever extension point.
    pub fn plugin(&self, name: &str) -> Option<&Arc<dyn Plugin>> {
        self.by_name.get(name)
    }
}

/// Collects plugins; those of one extension point run in the order in which they came.
pub struct Builder(Framework);

macro_rules! extension_points {
    ($($method:ident: $trait:ident),* $(,)?) => {$(
        pub fn $method(mut self, plugin: Arc<dyn $trait>) -> Self {
            self.0.by_name.insert(plugin.name(), plugin.clone());
            self.0.$method.push(plugin);
            self
        }
    )*};
}

impl Builder {
    extension_points! {
        pre_enqueue: PreEnqueue, pre_filter: PreFilter, filter: Filter, post_filter: PostFilter,
        pre_score: PreScore, reserve: Reserve, permit: Permit, pre_bind: PreBind, bind: Bind,
    }

    pub fn score(mut self, plugin: Arc<dyn Score>, weight: i64) -> Self {
        self.0.by_name.insert(plugin.name(), plugin.clone());
        self.0.score.push((plugin, weight));
        self
    }

    pub fn build(self) -> Framework {
        self.0
    }
}
