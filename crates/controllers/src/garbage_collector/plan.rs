//! What owner references and finalizers ask for. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What the server says of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// There, with the reference's UID.
    Solid,
    /// There, and waiting for its dependents to go.
    WaitsForDependents,
    /// Not there, or a namesake.
    Absent,
}

/// What to do with an object that has owners.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Keep,
    /// Some owners remain: take away the references to the others.
    Unlink(Vec<String>),
    /// None remains.
    Delete(Propagation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// Upstream: `attemptToDeleteItem`. `has_blocking_dependents`: somebody waits for this object and it has dependents
/// itself, which then go first.
pub(super) fn verdict(
    meta: &ObjectMeta,
    owners: &[(OwnerReference, OwnerState)],
    has_blocking_dependents: bool,
) -> Verdict {
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let solid = owners.iter().any(|(_, state)| *state == OwnerState::Solid);
    let others = || {
        owners.iter().filter(|(_, s)| *s != OwnerState::Solid).map(|(o, _)| o.uid.clone()).collect::<Vec<_>>()
    };
    if solid {
        let others = others();
        return if others.is_empty() { Verdict::Keep } else { Verdict::Unlink(others) };
    }
    let waited_for = owners.iter().any(|(_, state)| *state == OwnerState::WaitsForDependents);
    if waited_for && has_blocking_dependents {
        return Verdict::Delete(Propagation::Foreground);
    }
    // A finalizer that asks for a propagation keeps what the object's own deletion asked for.
    Verdict::Delete(if has(meta, ORPHAN) {
        Propagation::Orphan
    } else if has(meta, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    })
}

pub(super) fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|f| f == finalizer)
}

/// Deleted, and to go only after its dependents.
pub(super) fn waits_for_dependents(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, FOREGROUND)
}

/// Whether the dependent holds up an owner that is deleted in the foreground.
pub(super) fn blocks(meta: &ObjectMeta, owner_uid: &str) -> bool {
    let mut owners = meta.owner_references.iter().flatten();
    owners.any(|owner| owner.uid == owner_uid && owner.block_owner_deletion == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str, state: OwnerState) -> (OwnerReference, OwnerState) {
        (OwnerReference { uid: uid.into(), ..OwnerReference::default() }, state)
    }

    #[test]
    fn an_object_lives_while_one_owner_does() {
        use OwnerState::{Absent, Solid, WaitsForDependents};
        let meta = ObjectMeta::default();
        let check = |owners: &[(OwnerReference, OwnerState)], dependents| verdict(&meta, owners, dependents);
        assert_eq!(check(&[], false), Verdict::Keep);
        assert_eq!(check(&[owner("a", Solid)], false), Verdict::Keep);
        assert_eq!(check(&[owner("a", Solid), owner("b", Absent)], false), Verdict::Unlink(vec!["b".into()]));
        assert_eq!(check(&[owner("a", Absent)], false), Verdict::Delete(Propagation::Background));
        assert_eq!(check(&[owner("a", WaitsForDependents)], true), Verdict::Delete(Propagation::Foreground));
        assert_eq!(check(&[owner("a", WaitsForDependents)], false), Verdict::Delete(Propagation::Background));
    }

    #[test]
    fn its_own_finalizer_decides_how_it_goes() {
        let meta = ObjectMeta { finalizers: Some(vec![ORPHAN.into()]), ..ObjectMeta::default() };
        assert_eq!(
            verdict(&meta, &[owner("a", OwnerState::Absent)], false),
            Verdict::Delete(Propagation::Orphan)
        );
    }
}
