//! Compiles the descriptions in `schema/` to static tables.

#[path = "build/emit.rs"]
mod emit;
#[path = "build/model.rs"]
mod model;
#[path = "build/parse.rs"]
mod parse;
#[path = "build/resolve.rs"]
mod resolve;
#[path = "build/rules.rs"]
mod rules;

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=build");
    let mut packages = Vec::new();
    for path in files(Path::new("schema"), "api") {
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())));
        packages
            .push(parse::package(&path.display().to_string(), &text).unwrap_or_else(|error| fail(&error)));
    }
    let overlay =
        rules::compile(&packages, &files(Path::new("schema"), "rules")).unwrap_or_else(|error| fail(&error));
    write("rules.rs", &overlay);
    let tables = resolve::tables(packages).unwrap_or_else(|error| fail(&error));
    write("tables.rs", &emit::tables(&tables));
}

/// By a new file in the old one's place: other links to the old one keep what they have.
fn write(name: &str, text: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name);
    let new = out.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &out));
    written.unwrap_or_else(|error| fail(&format!("{}: {error}", out.display())));
}

/// All files below `folder` with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| fail(&format!("{}: {error}", folder.display())));
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .flat_map(|path| if path.is_dir() { files(&path, extension) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    found.sort();
    found
}

fn fail(message: &str) -> ! {
    println!("cargo:warning={message}");
    panic!("{message}")
}
