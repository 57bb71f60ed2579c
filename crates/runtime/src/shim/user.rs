//! Who a process runs as: names and numbers resolved by the container's own /etc/passwd and /etc/group.

use std::fs;
use std::path::Path;

use super::protocol::{User, UserSpec};

/// Why a user could not be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("unable to find user {name}: no matching entries in passwd file")]
    NoUser { name: String },
    #[error("unable to find group {name}: no matching entries in group file")]
    NoGroup { name: String },
}

/// A resolved user with the home directory of its passwd entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    pub user: User,
    pub home: String,
}

/// Resolves against the files below `root`.
pub fn resolve(spec: &UserSpec, root: &Path) -> Result<Resolved, Error> {
    // An image without these files names nobody, and numbers need no name.
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let group = fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    resolve_in(spec, &passwd, &group)
}

fn resolve_in(spec: &UserSpec, passwd: &str, group: &str) -> Result<Resolved, Error> {
    let (name, group_name) = spec.user.split_once(':').unwrap_or((&spec.user, ""));
    let name = if name.is_empty() { "0" } else { name };
    let entry = entry(passwd, name);
    let uid = match (&entry, name.parse()) {
        (Some(entry), _) => entry.id,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(Error::NoUser { name: name.to_owned() }),
    };
    let gid = match (spec.gid, group_name) {
        (Some(gid), _) => gid,
        (None, "") => entry.as_ref().and_then(|e| e.rest.first()?.parse().ok()).unwrap_or(0),
        (None, wanted) => group_id(group, wanted)?,
    };
    let mut groups = spec.supplemental.clone();
    if let Some(entry) = entry.as_ref().filter(|_| !spec.strict) {
        groups.extend(memberships(group, entry.name));
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.as_ref().and_then(|e| e.rest.get(2)).filter(|home| !home.is_empty());
    let home = home.map_or("/", |home| *home).to_owned();
    Ok(Resolved { user: User { uid, gid, groups }, home })
}

struct Entry<'a> {
    name: &'a str,
    id: u32,
    /// The fields after the id.
    rest: Vec<&'a str>,
}

/// The line of `name:password:id:…` whose name or id is `wanted`; a name wins over a number.
fn entry<'a>(file: &'a str, wanted: &str) -> Option<Entry<'a>> {
    let parse = |line: &'a str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        Some(Entry { name, id, rest: fields.collect() })
    };
    let number = wanted.parse::<u32>().ok();
    let mut entries: Vec<_> = file.lines().filter_map(parse).collect();
    let at = entries
        .iter()
        .position(|e| e.name == wanted)
        .or(entries.iter().position(|e| Some(e.id) == number))?;
    Some(entries.swap_remove(at))
}

fn group_id(file: &str, wanted: &str) -> Result<u32, Error> {
    match (entry(file, wanted), wanted.parse()) {
        (Some(entry), _) => Ok(entry.id),
        (None, Ok(gid)) => Ok(gid),
        (None, Err(_)) => Err(Error::NoGroup { name: wanted.to_owned() }),
    }
}

/// Groups that list `user` as a member.
fn memberships(file: &str, user: &str) -> Vec<u32> {
    let member = |line: &&str| line.rsplit(':').next().is_some_and(|list| list.split(',').any(|m| m == user));
    file.lines().filter(member).filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:w:/srv:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:web,other\n";

    fn check(user: &str, gid: Option<u32>, strict: bool, expected: (u32, u32, &[u32], &str)) {
        let spec = UserSpec { user: user.to_owned(), gid, supplemental: vec![7], strict };
        let found = resolve_in(&spec, PASSWD, GROUP).unwrap();
        let user = User { uid: expected.0, gid: expected.1, groups: expected.2.to_vec() };
        assert_eq!(found, Resolved { user, home: expected.3.to_owned() });
    }

    #[test]
    fn users_and_groups_are_resolved() {
        check("", None, false, (0, 0, &[0, 7], "/root"));
        check("web", None, false, (33, 34, &[7, 34, 50], "/srv"));
        check("33", None, true, (33, 34, &[7, 34], "/srv"));
        check("web:staff", None, true, (33, 50, &[7, 50], "/srv"));
        check("1234", None, false, (1234, 0, &[0, 7], "/"));
        check("1234:99", Some(5), false, (1234, 5, &[5, 7], "/"));
        let spec = UserSpec { user: "nobody".to_owned(), ..UserSpec::default() };
        assert_eq!(resolve_in(&spec, PASSWD, GROUP), Err(Error::NoUser { name: "nobody".to_owned() }));
    }
}
