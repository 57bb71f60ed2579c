//! What plugins leave for themselves between the extension points of one cycle.

use std::any::{Any, TypeId};

/// Anything that can be cloned; preemption tries things out on a copy.
pub trait StateData: Any + Send + Sync {
    fn boxed_clone(&self) -> Box<dyn StateData>;
}

impl<T: Any + Clone + Send + Sync> StateData for T {
    fn boxed_clone(&self) -> Box<dyn StateData> {
        Box::new(self.clone())
    }
}

/// One value for each type. A list, as there are few and each is looked up for every node.
#[derive(Default)]
pub struct CycleState(Vec<(TypeId, Box<dyn StateData>)>);

impl CycleState {
    pub fn put<T: StateData>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.0.retain(|(other, _)| *other != id);
        self.0.push((id, Box::new(value)));
    }

    pub fn get<T: StateData>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let (_, value) = self.0.iter().find(|(other, _)| *other == id)?;
        let any: &dyn Any = &**value;
        any.downcast_ref()
    }

    pub fn get_mut<T: StateData>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        let (_, value) = self.0.iter_mut().find(|(other, _)| *other == id)?;
        let any: &mut dyn Any = &mut **value;
        any.downcast_mut()
    }
}

impl Clone for CycleState {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|(id, value)| (*id, (**value).boxed_clone())).collect())
    }
}
