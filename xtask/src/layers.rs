//! Layering is a test and not a hope: the table of ARCHITECTURE.md against what cargo knows.

#[cfg(test)]
mod tests {
    use std::fs;

    use cargo_metadata::MetadataCommand;

    use crate::run::root;

    /// Crates from the top down, as the table lists them.
    fn table() -> Vec<String> {
        let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is readable");
        let (_, section) = text.split_once("## The layers").expect("it has the section");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        rows.take_while(|line| line.starts_with('|'))
            .map(|row| row.split('|').nth(1).expect("a row has cells").trim().to_owned())
            .collect()
    }

    #[test]
    fn dependencies_point_down() {
        let table = table();
        let metadata = MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .no_deps()
            .exec()
            .expect("cargo metadata");
        let mut wrong = Vec::new();
        for package in metadata.packages.iter().filter(|package| *package.name != "xtask") {
            let Some(own) = table.iter().position(|name| *name == *package.name) else {
                wrong.push(format!("{} is not in the table", package.name));
                continue;
            };
            let ours = package
                .dependencies
                .iter()
                .filter(|d| d.path.is_some() && d.kind != cargo_metadata::DependencyKind::Development);
            for dependency in ours {
                match table.iter().position(|name| *name == dependency.name) {
                    Some(other) if other > own => {}
                    _ => wrong.push(format!("{} depends on {}", package.name, dependency.name)),
                }
            }
        }
        assert!(wrong.is_empty(), "against the layers: {wrong:#?}");
    }

    #[test]
    fn components_do_not_know_each_other() {
        const COMPONENTS: [&str; 6] = ["scheduler", "controllers", "kubelet", "dns", "proxy", "apiserver"];
        let metadata = MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .no_deps()
            .exec()
            .expect("cargo metadata");
        let mut wrong = Vec::new();
        for package in metadata.packages.iter().filter(|package| COMPONENTS.contains(&package.name.as_str()))
        {
            let foreign = |name: &str| COMPONENTS.contains(&name) && name != package.name.as_str();
            let others = package.dependencies.iter().filter(|d| foreign(&d.name));
            wrong.extend(others.map(|other| format!("{} depends on {}", package.name, other.name)));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn unsafe_code_lives_in_linux_alone() {
        for entry in fs::read_dir(root().join("crates")).expect("crates/ is readable") {
            let manifest = entry.expect("an entry").path().join("Cargo.toml");
            let text = fs::read_to_string(&manifest).expect("a manifest");
            let is_linux = manifest.ends_with("linux/Cargo.toml");
            assert!(
                is_linux || text.contains("[lints]\nworkspace = true"),
                "{} leaves the workspace's lints",
                manifest.display()
            );
        }
    }
}
