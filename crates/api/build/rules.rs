//! Compiles the `.rules` files, the hand-written overlay of the API descriptions, into static tables.
//!
//! The language, a statement a line, `#` starts a comment:
//!
//! ```text
//! resource PLURAL            what follows, indented, is of this resource
//!   short NAME…              short names
//!   singular NAME            where it is not the kind in lower case
//!   category NAME…           such as `all`
//!   name RULE                what a name must be: dns1123subdomain (default), dns1123label, dns1035label, path_segment, any
//!   select LABEL[:bool|:int][=PATH]…  selectable fields besides metadata.name and metadata.namespace
//!   column NAME TYPE[:FORMAT] [wide] SOURCE
//!   column Name | column Age the two that all have
//! default TYPE.FIELD JSON    where the field is absent (and zero, unless it is a pointer)
//! default TYPE @FUNCTION     computed: crate::defaults::functions::FUNCTION
//! check KIND @FUNCTION       crate::validate::checks::FUNCTION
//! created KIND @FUNCTION     as check, for new objects only
//! frozen KIND.PATH ["TEXT"]  `Invalid value: …: field is immutable`, or TEXT
//! frozen KIND.PATH forbidden "TEXT"
//! frozen KIND @FUNCTION      crate::validate::checks::FUNCTION_update
//! ```
//!
//! A SOURCE is `.path.of.fields` or `@function` (crate::table::cells). Every type and field is
//! looked up in the `.api` files, every function by the compiler.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::model;

/// Fields by type, by package.
type Index = BTreeMap<String, BTreeMap<String, Vec<Known>>>;

struct Known {
    name: String,
    of: String,
    inline: bool,
}

#[derive(Default)]
struct Resource {
    plural: String,
    singular: String,
    name_rule: String,
    short: Vec<String>,
    categories: Vec<String>,
    selectable: Vec<String>,
    columns: Vec<String>,
}

#[derive(Default)]
struct Package {
    resources: Vec<Resource>,
    /// By type, in the order of their lines.
    defaults: BTreeMap<String, Vec<String>>,
    checks: BTreeMap<String, Vec<String>>,
    created: BTreeMap<String, Vec<String>>,
    frozen: BTreeMap<String, Vec<String>>,
}

/// Compiles `.rules` files into Rust source, held against the descriptions in `packages`.
///
/// # Errors
/// `file:line: what` for the first statement that is wrong.
pub fn compile(packages: &[model::Package], files: &[PathBuf]) -> Result<String, String> {
    let index = index_of(packages);
    let mut compiled = BTreeMap::new();
    for file in files {
        let name = package_name(file);
        if !index.contains_key(&name) {
            return Err(format!("{}: there is no {name}.api", file.display()));
        }
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut package = Package::default();
        for (number, line) in text.lines().enumerate() {
            Statement { index: &index, package: &name }
                .read(line, &mut package)
                .map_err(|error| format!("{}:{}: {error}", file.display(), number + 1))?;
        }
        compiled.insert(name, package);
    }
    Ok(emit(&compiled))
}

/// One line, with what it may refer to.
struct Statement<'a> {
    index: &'a Index,
    package: &'a str,
}

impl Statement<'_> {
    fn read(&self, line: &str, package: &mut Package) -> Result<(), String> {
        let words = split(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["resource", plural] => {
                package.resources.push(Resource { plural: (*plural).into(), ..Resource::default() });
                Ok(())
            }
            ["default", target, ..] => self.default(target, line, package),
            [verb @ ("check" | "created"), kind, function] => {
                self.has_type(kind)?;
                let table = if *verb == "check" { &mut package.checks } else { &mut package.created };
                table
                    .entry((*kind).into())
                    .or_default()
                    .push(format!("crate::validate::checks::{}", at_name(function)?));
                Ok(())
            }
            ["frozen", target, rest @ ..] => self.frozen(target, rest, package),
            words if line.starts_with(' ') => {
                self.of_resource(words, package.resources.last_mut().ok_or("stands in no resource")?)
            }
            _ => Err(format!("not a statement: {line}")),
        }
    }

    fn of_resource(&self, words: &[&str], resource: &mut Resource) -> Result<(), String> {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match words {
            ["short", names @ ..] => resource.short.extend(list(names)),
            ["category", names @ ..] => resource.categories.extend(list(names)),
            ["singular", name] => resource.singular = (*name).into(),
            ["name", rule] => resource.name_rule = name_rule(rule)?.into(),
            ["select", fields @ ..] => {
                for field in fields {
                    resource.selectable.push(selectable(field)?);
                }
            }
            ["column", "Name"] => {
                resource.columns.push(column("Name", "string:name", false, ".metadata.name")?)
            }
            ["column", "Age"] => resource.columns.push(column("Age", "string", false, "@age")?),
            ["column", name, kind, "wide", source] => {
                resource.columns.push(column(name, kind, true, source)?)
            }
            ["column", name, kind, source] => resource.columns.push(column(name, kind, false, source)?),
            other => return Err(format!("not a statement of a resource: {}", other.join(" "))),
        }
        Ok(())
    }

    /// `default TYPE.FIELD JSON` or `default TYPE @FUNCTION`.
    fn default(&self, target: &str, line: &str, package: &mut Package) -> Result<(), String> {
        let value = line.trim().splitn(3, char::is_whitespace).nth(2).unwrap_or("").trim();
        let (kind, rule) = match target.split_once('.') {
            None => {
                self.has_type(target)?;
                (target, format!("Default::Computed(crate::defaults::functions::{})", at_name(value)?))
            }
            Some((kind, field)) => {
                let found = self.field(self.package, kind, field)?;
                if value.is_empty() {
                    return Err("a value is missing".into());
                }
                (
                    kind,
                    format!(
                        "Default::Constant {{ field: {field:?}, json: {value:?}, pointer: {} }}",
                        found.ends_with('?')
                    ),
                )
            }
        };
        package.defaults.entry(kind.into()).or_default().push(rule);
        Ok(())
    }

    fn frozen(&self, target: &str, rest: &[&str], package: &mut Package) -> Result<(), String> {
        let (kind, rule) = match (target.split_once('.'), rest) {
            (None, [function]) => {
                self.has_type(target)?;
                (target, format!("Frozen::Computed(crate::validate::checks::{}_update)", at_name(function)?))
            }
            (Some((kind, path)), []) => {
                (kind, self.frozen_path(kind, path, "Invalid", "field is immutable")?)
            }
            (Some((kind, path)), [text]) => (kind, self.frozen_path(kind, path, "Invalid", text)?),
            (Some((kind, path)), ["forbidden", text]) => {
                (kind, self.frozen_path(kind, path, "Forbidden", text)?)
            }
            _ => return Err("expected a path and a text, or a function".into()),
        };
        package.frozen.entry(kind.into()).or_default().push(rule);
        Ok(())
    }

    fn frozen_path(&self, kind: &str, path: &str, error: &str, text: &str) -> Result<String, String> {
        let mut at = (self.package.to_owned(), kind.to_owned());
        for name in path.split('.') {
            let found = self.field(&at.0, &at.1, name)?;
            let bare = found.trim_end_matches('?').trim_start_matches("[]");
            at = match bare.rsplit_once('.') {
                Some((package, name)) => (package.into(), name.into()),
                None => (at.0, bare.into()),
            };
        }
        Ok(format!("Frozen::Path {{ path: {path:?}, kind: FieldErrorKind::{error}, text: {text:?} }}"))
    }

    fn has_type(&self, name: &str) -> Result<(), String> {
        let known = self.index.get(self.package).is_some_and(|types| types.contains_key(name));
        if known { Ok(()) } else { Err(format!("{} has no type {name}", self.package)) }
    }

    /// The type of a field, also of one that an inlined struct brings.
    fn field(&self, package: &str, kind: &str, field: &str) -> Result<String, String> {
        let fields = self
            .index
            .get(package)
            .and_then(|types| types.get(kind))
            .ok_or(format!("{package} has no type {kind}"))?;
        for known in fields {
            if known.name == field {
                return Ok(known.of.clone());
            }
            if !known.inline {
                continue;
            }
            let (package, inlined) = known.of.rsplit_once('.').unwrap_or((package, &known.of));
            if let Ok(found) = self.field(package, inlined, field) {
                return Ok(found);
            }
        }
        Err(format!("{kind} has no field {field}"))
    }
}

fn name_rule(rule: &str) -> Result<&'static str, String> {
    match rule {
        "dns1123subdomain" => Ok("dns1123_subdomain"),
        "dns1123label" => Ok("dns1123_label"),
        "dns1035label" => Ok("dns1035_label"),
        "path_segment" => Ok("path_segment"),
        "any" => Ok("anything"),
        other => Err(format!("no rule for names: {other}")),
    }
}

fn at_name(function: &str) -> Result<&str, String> {
    function.strip_prefix('@').ok_or(format!("expected @function, not {function:?}"))
}

fn selectable(field: &str) -> Result<String, String> {
    let (label, from) = field.split_once('=').unwrap_or((field, ""));
    let (label, kind) = label.split_once(':').unwrap_or((label, "string"));
    let absent = match kind {
        "string" => "",
        "bool" => "false",
        "int" => "0",
        other => return Err(format!("no type of selectable fields: {other}")),
    };
    let path = if from.is_empty() { label } else { from };
    Ok(format!("Selectable {{ label: {label:?}, path: {path:?}, absent: {absent:?} }}"))
}

fn column(name: &str, kind: &str, wide: bool, from: &str) -> Result<String, String> {
    let (kind, format) = kind.split_once(':').unwrap_or((kind, ""));
    if !matches!(kind, "string" | "integer" | "boolean" | "number" | "date") {
        return Err(format!("no type of columns: {kind}"));
    }
    let source = source(from)?;
    Ok(format!(
        "Column {{ name: {name:?}, kind: {kind:?}, format: {format:?}, wide: {wide}, source: {source} }}"
    ))
}

fn source(text: &str) -> Result<String, String> {
    match (text.strip_prefix('.'), text.strip_prefix('@')) {
        (Some(path), _) => Ok(format!("Source::Path({path:?})")),
        (_, Some(function)) => Ok(format!("Source::Computed(crate::table::cells::{function})")),
        _ => Err(format!("neither .path nor @function: {text}")),
    }
}

/// Words; `"…"` is one.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, left) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("an open quotation mark")?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = left.trim_start();
    }
    Ok(words)
}

fn emit(packages: &BTreeMap<String, Package>) -> String {
    let mut out = String::from("pub static PACKAGES: &[PackageRules] = &[\n");
    for (name, package) in packages {
        let _ = writeln!(out, "PackageRules {{ package: {name:?},\nresources: &[");
        for resource in &package.resources {
            emit_resource(&mut out, resource);
        }
        let _ = writeln!(out, "],\ndefaults: &[{}],", emit_map(&package.defaults));
        let _ = writeln!(out, "checks: &[{}],", emit_map(&package.checks));
        let _ = writeln!(out, "created: &[{}],", emit_map(&package.created));
        let _ = writeln!(out, "frozen: &[{}] }},", emit_map(&package.frozen));
    }
    out + "];\n"
}

fn emit_resource(out: &mut String, resource: &Resource) {
    let rule = if resource.name_rule.is_empty() { "dns1123_subdomain" } else { &resource.name_rule };
    let _ = writeln!(
        out,
        "ResourceRules {{ plural: {:?}, singular: {:?}, short_names: &{:?}, categories: &{:?}, name: crate::validate::names::{rule}, selectable: &[{}], columns: &[{}] }},",
        resource.plural,
        resource.singular,
        resource.short,
        resource.categories,
        resource.selectable.join(", "),
        resource.columns.join(", ")
    );
}

fn emit_map(map: &BTreeMap<String, Vec<String>>) -> String {
    map.iter().map(|(name, rules)| format!("({name:?}, &[{}]),\n", rules.join(", "))).collect()
}

/// The fields of every type.
fn index_of(packages: &[model::Package]) -> Index {
    let fields = |owner: &model::Type| {
        owner
            .fields
            .iter()
            .map(|field| Known { name: field.name.clone(), of: field.of.clone(), inline: field.inline })
            .collect()
    };
    let types = |package: &model::Package| {
        package.types.iter().map(|owner| (owner.name.clone(), fields(owner))).collect()
    };
    packages.iter().map(|package| (package.name.clone(), types(package))).collect()
}

/// `core/v1` of `schema/core/v1.rules`.
fn package_name(file: &Path) -> String {
    let mut parts =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let from = parts.len().saturating_sub(2);
    parts.split_off(from).join("/")
}
