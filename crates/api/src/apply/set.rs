//! A set of paths into an object, as a tree.
//!
//! Upstream: structured-merge-diff, fieldpath/set.go.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::element::PathElement;

/// Paths. A path may be in the set without those below it, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeMap<PathElement, Branch>);

/// One step: whether the path that ends here is in the set, and what is below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    pub member: bool,
    pub below: FieldSet,
}

impl Branch {
    pub fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// A set of paths of fields, `metadata.name`.
    pub fn of_fields(paths: &[&str]) -> Self {
        let mut set = Self::new();
        for path in paths {
            let steps: Vec<PathElement> = path.split('.').map(PathElement::field).collect();
            set.insert_path(&steps);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> btree_map::Iter<'_, PathElement, Branch> {
        self.0.iter()
    }

    pub fn get(&self, step: &PathElement) -> Option<&Branch> {
        self.0.get(step)
    }

    /// Adds to what is there. Empty branches are not kept.
    pub fn add(&mut self, step: PathElement, branch: Branch) {
        if branch.is_empty() {
            return;
        }
        match self.0.entry(step) {
            btree_map::Entry::Vacant(slot) => {
                slot.insert(branch);
            }
            btree_map::Entry::Occupied(mut slot) => {
                slot.get_mut().member |= branch.member;
                slot.get_mut().below.absorb(branch.below);
            }
        }
    }

    pub fn insert_path(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let branch = self.0.entry(first.clone()).or_default();
        match rest {
            [] => branch.member = true,
            rest => branch.below.insert_path(rest),
        }
    }

    /// Everything that is in either.
    pub fn absorb(&mut self, other: Self) {
        for (step, branch) in other.0 {
            self.add(step, branch);
        }
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.absorb(other.clone());
        all
    }

    /// What is in this and not in `other`, path by path.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(|step, own| match other.get(step) {
            None => own.clone(),
            Some(theirs) => {
                Branch { member: own.member && !theirs.member, below: own.below.difference(&theirs.below) }
            }
        })
    }

    /// The same; what is below a path of `other` goes with it.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        self.combine(|step, own| match other.get(step) {
            None => own.clone(),
            Some(theirs) if theirs.member => Branch::default(),
            Some(theirs) => {
                Branch { member: own.member, below: own.below.recursive_difference(&theirs.below) }
            }
        })
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(|step, own| match other.get(step) {
            None => Branch::default(),
            Some(theirs) => {
                Branch { member: own.member && theirs.member, below: own.below.intersection(&theirs.below) }
            }
        })
    }

    fn combine(&self, make: impl Fn(&PathElement, &Branch) -> Branch) -> Self {
        let branches = self.0.iter().map(|(step, own)| (step, make(step, own)));
        let kept = branches.filter(|(_, branch)| !branch.is_empty());
        Self(kept.map(|(step, branch)| (step.clone(), branch)).collect())
    }

    /// Every path as messages spell it, those that end here before those that go on.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        let members = self.0.iter().filter(|(_, branch)| branch.member);
        paths.extend(members.map(|(step, _)| format!("{prefix}{step}")));
        for (step, branch) in self.0.iter().filter(|(_, branch)| !branch.below.is_empty()) {
            branch.below.collect(&format!("{prefix}{step}"), paths);
        }
    }
}
