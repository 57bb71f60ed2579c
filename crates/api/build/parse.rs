//! Reads one `.api` file. Errors name file and line.

use crate::model::{Field, Package, Resource, Scalar, Subresource, Type};

/// The verbs that `*` stands for.
const ALL_VERBS: &str = "create,delete,deletecollection,get,list,patch,update,watch";

pub fn package(file: &str, text: &str) -> Result<Package, String> {
    let mut package = Package::default();
    for (index, line) in text.lines().enumerate() {
        let at = format!("{file}:{}", index + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let result = if line.starts_with(' ') {
            indented(&mut package, &at, &words)
        } else {
            top(&mut package, &at, &words)
        };
        result.map_err(|message| format!("{at}: {message}"))?;
    }
    Ok(package)
}

fn top(package: &mut Package, at: &str, words: &[&str]) -> Result<(), String> {
    match words {
        ["package", name, "group", group, "version", version, "proto", proto] => {
            package.name = (*name).into();
            package.group = group.trim_matches('"').into();
            package.version = (*version).into();
            package.proto = (*proto).into();
        }
        ["resource", plural, kind, scope, "verbs", listed] => package.resources.push(Resource {
            at: at.into(),
            plural: (*plural).into(),
            kind: (*kind).into(),
            namespaced: match *scope {
                "namespaced" => true,
                "cluster" => false,
                other => return Err(format!("unknown scope {other}")),
            },
            verbs: verbs(listed),
            subresources: Vec::new(),
        }),
        ["scalar", name, of] => package.scalars.push(scalar(at, name, of, None)),
        ["enum", name, values @ ..] => {
            let values = values.iter().map(|value| value.trim_matches('"').to_owned()).collect();
            package.scalars.push(scalar(at, name, "string", Some(values)));
        }
        ["type", name, marks @ ..] => package.types.push(Type {
            name: (*name).into(),
            marks: owned(marks),
            union: Vec::new(),
            fields: Vec::new(),
        }),
        _ => return Err(format!("not understood: {}", words.join(" "))),
    }
    Ok(())
}

fn scalar(at: &str, name: &str, of: &str, values: Option<Vec<String>>) -> Scalar {
    Scalar { at: at.into(), name: name.into(), of: of.into(), values }
}

fn indented(package: &mut Package, at: &str, words: &[&str]) -> Result<(), String> {
    // Subresources come before the first type; a field may well be named `sub`.
    if package.types.is_empty() {
        let ["sub", name, listed, kind] = words else { return Err("not a subresource".into()) };
        let resource = package.resources.last_mut().ok_or("a subresource without a resource")?;
        resource.subresources.push(Subresource {
            name: (*name).into(),
            verbs: verbs(listed),
            kind: (*kind).into(),
        });
        return Ok(());
    }
    let owner = package.types.last_mut().ok_or("a field without a type")?;
    if let ["union", members @ ..] = words
        && members.iter().all(|member| member.parse::<u32>().is_err())
    {
        owner.union = owned(members);
        return Ok(());
    }
    owner.fields.push(field(at, words)?);
    Ok(())
}

fn field(at: &str, words: &[&str]) -> Result<Field, String> {
    // The branches of an either-or type have no name: their line begins with the number.
    let nameless = words[0].parse::<u32>().is_ok();
    let words: Vec<&str> =
        if nameless { std::iter::once("").chain(words.iter().copied()).collect() } else { words.to_vec() };
    let inline = words[0].strip_prefix('~');
    let number = match words.get(1) {
        Some(&"-") => None,
        Some(text) => Some(text.parse().map_err(|_| format!("not a field number: {text}"))?),
        None => return Err("a field without a number".into()),
    };
    let (name, of, marks) = match inline {
        Some(of) => ("", of, &words[2..]),
        None => (words[0], *words.get(2).ok_or("a field without a type")?, &words[3..]),
    };
    Ok(Field {
        at: at.into(),
        name: name.into(),
        inline: inline.is_some(),
        number,
        of: of.into(),
        marks: owned(marks),
    })
}

fn verbs(listed: &str) -> Vec<String> {
    let listed = if listed == "*" { ALL_VERBS } else { listed };
    listed.split(',').map(str::to_owned).collect()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
