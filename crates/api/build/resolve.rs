//! Turns names into indexes, and refuses what does not fit together.

use std::collections::{HashMap, HashSet};

use crate::model::{Package, ResolvedField, ResolvedResource, ResolvedType, Shape, Tables};

const SCALARS: [&str; 16] = [
    "bool",
    "int32",
    "int64",
    "float64",
    "string",
    "bytes",
    "quantity",
    "intstr",
    "time",
    "microtime",
    "duration",
    "raw",
    "fieldsv1",
    "json",
    "int",
    "uint",
];

/// Where a name may be found.
struct Names<'a> {
    types: HashMap<(&'a str, &'a str), usize>,
    scalars: HashMap<(&'a str, &'a str), (&'a str, Option<usize>)>,
}

pub fn tables(packages: Vec<Package>) -> Result<Tables, String> {
    let mut tables = Tables::default();
    let names = names(&packages, &mut tables)?;
    for package in &packages {
        for owner in &package.types {
            let mut fields = Vec::new();
            let mut numbers = HashSet::new();
            for field in &owner.fields {
                let at = |message: String| format!("{}: {message}", field.at);
                if let Some(number) = field.number
                    && !numbers.insert(number)
                {
                    return Err(at(format!("{} has two fields of number {number}", owner.name)));
                }
                let pointer = field.of.ends_with('?');
                let shape = shape(&names, &mut tables.shapes, &package.name, field.of.trim_end_matches('?'))
                    .map_err(at)?;
                fields.push(ResolvedField {
                    name: field.name.clone(),
                    inline: field.inline,
                    number: field.number.unwrap_or(0),
                    shape,
                    pointer,
                    marks: field.marks.clone(),
                });
            }
            tables.types.push(ResolvedType {
                name: owner.name.clone(),
                package: package.name.clone(),
                group: package.group.clone(),
                version: package.version.clone(),
                proto: package.proto.clone(),
                marks: owner.marks.clone(),
                union: owner.union.clone(),
                fields,
            });
        }
    }
    for package in &packages {
        resources(package, &names, &mut tables)?;
    }
    Ok(tables)
}

fn names<'a>(packages: &'a [Package], tables: &mut Tables) -> Result<Names<'a>, String> {
    let mut names = Names { types: HashMap::new(), scalars: HashMap::new() };
    let mut next = 0;
    for package in packages {
        for owner in &package.types {
            if names.types.insert((&package.name, &owner.name), next).is_some() {
                return Err(format!("{}: {} is described twice", package.name, owner.name));
            }
            next += 1;
        }
        for scalar in &package.scalars {
            let index = scalar.values.as_ref().map(|values| {
                tables.enums.push((scalar.name.clone(), values.clone()));
                tables.enums.len() - 1
            });
            if names.scalars.insert((&package.name, &scalar.name), (&scalar.of, index)).is_some() {
                return Err(format!("{}: {} is described twice", scalar.at, scalar.name));
            }
        }
    }
    Ok(names)
}

fn shape(names: &Names<'_>, shapes: &mut Vec<Shape>, package: &str, of: &str) -> Result<Shape, String> {
    if let Some(item) = of.strip_prefix("[]") {
        let item = shape(names, shapes, package, item)?;
        return Ok(Shape::List(intern(shapes, item)));
    }
    if let Some(rest) = of.strip_prefix('{') {
        let (_, value) = rest.split_once('}').ok_or_else(|| format!("a map without end: {of}"))?;
        let value = shape(names, shapes, package, value)?;
        return Ok(Shape::Map(intern(shapes, value)));
    }
    if let Some(scalar) = SCALARS.iter().find(|scalar| **scalar == of) {
        return Ok(Shape::Scalar(scalar));
    }
    let (home, name) = split(package, of);
    for home in [home, "meta/v1"] {
        if let Some(index) = names.types.get(&(home, name)) {
            return Ok(Shape::Struct(*index));
        }
        if let Some((of, index)) = names.scalars.get(&(home, name)) {
            return index.map_or_else(|| shape(names, shapes, home, of), |index| Ok(Shape::Enum(index)));
        }
    }
    Err(format!("unknown type {of}"))
}

/// `core/v1.Pod` to its package and name; a bare name is of `package`.
fn split<'a>(package: &'a str, of: &'a str) -> (&'a str, &'a str) {
    of.rsplit_once('.').filter(|(home, _)| home.contains('/')).unwrap_or((package, of))
}

fn intern(shapes: &mut Vec<Shape>, shape: Shape) -> usize {
    shapes.iter().position(|known| *known == shape).unwrap_or_else(|| {
        shapes.push(shape);
        shapes.len() - 1
    })
}

fn resources(package: &Package, names: &Names<'_>, tables: &mut Tables) -> Result<(), String> {
    let kind = |kind: &str, at: &str| {
        let (home, name) = split(&package.name, kind);
        names.types.get(&(home, name)).copied().ok_or_else(|| format!("{at}: unknown kind {kind}"))
    };
    for resource in &package.resources {
        let mut subresources = Vec::new();
        for sub in &resource.subresources {
            let of = if sub.kind == "-" { None } else { Some(kind(&sub.kind, &resource.at)?) };
            subresources.push((sub.name.clone(), sub.verbs.clone(), of));
        }
        tables.resources.push(ResolvedResource {
            group: package.group.clone(),
            version: package.version.clone(),
            plural: resource.plural.clone(),
            kind: resource.kind.clone(),
            type_id: kind(&resource.kind, &resource.at)?,
            namespaced: resource.namespaced,
            verbs: resource.verbs.clone(),
            subresources,
        });
    }
    Ok(())
}
