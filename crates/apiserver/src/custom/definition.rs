//! A CustomResourceDefinition, compiled: what decoding, defaults, checks and documents of its objects need.

use std::sync::Arc;

use api::custom::{self, KindNames, Structural};
use api::{DecodeError, Decoded, FieldErrors, Path, Schema, TypeRef, Validation};
use serde_json::Value;

use super::Converters;
use super::rules::Rules;
use crate::media::Encoding;
use crate::object;

/// A definition. Fixed; a changed one is another.
#[derive(Debug)]
pub struct Definition {
    pub group: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub versions: Vec<Version>,
    /// Of the version that objects are stored in.
    pub storage: usize,
    /// `spec.conversion`
    pub conversion: Value,
    pub converters: Converters,
    /// It is being deleted: nothing new is created.
    pub terminating: bool,
    /// What it was made of, to see whether anything has changed.
    pub spec: Value,
}

/// One version of a custom kind.
#[derive(Debug)]
pub struct Version {
    pub name: String,
    pub served: bool,
    pub has_status: bool,
    pub scale: Option<Scale>,
    pub structural: Structural,
    /// The same for engines that work on types.
    pub schema: Schema,
    /// The schema as the definition has it, for documents.
    pub given: Value,
    pub columns: Vec<Value>,
    /// Labels of `--field-selector` and where their values are.
    pub selectable: Vec<(String, Vec<String>)>,
    /// What users of it are told.
    pub deprecation: Option<String>,
    has_defaults: bool,
    rules: Option<Rules>,
}

/// Where a Scale's values are.
#[derive(Debug, Clone)]
pub struct Scale {
    pub spec: Vec<String>,
    pub status: Vec<String>,
    pub selector: Option<Vec<String>>,
    /// As the definition has it, for messages.
    pub spec_path: String,
}

/// A custom kind in one version. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kind {
    pub definition: Arc<Definition>,
    pub at: usize,
}

impl Definition {
    /// Compiles a definition that has been accepted; none if it is not (yet) to be served.
    pub fn of(object: &Value, converters: &Converters) -> Option<Self> {
        let is_true =
            |condition: &&Value| condition["type"] == "Established" && condition["status"] == "True";
        object["status"]["conditions"].as_array()?.iter().find(is_true)?;
        let spec = &object["spec"];
        let names = &object["status"]["acceptedNames"];
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let listed = spec["versions"].as_array()?;
        let names = Names {
            group: text(&spec["group"]),
            plural: text(&names["plural"]),
            kind: text(&names["kind"]),
            namespaced: spec["scope"] == "Namespaced",
        };
        Some(Self {
            versions: listed.iter().map(|version| names.version(version)).collect(),
            storage: listed.iter().position(|version| version["storage"] == true)?,
            singular: text(&object["status"]["acceptedNames"]["singular"]),
            list_kind: text(&object["status"]["acceptedNames"]["listKind"]),
            short_names: texts(&object["status"]["acceptedNames"]["shortNames"]),
            categories: texts(&object["status"]["acceptedNames"]["categories"]),
            conversion: spec["conversion"].clone(),
            converters: converters.clone(),
            terminating: object::is_terminating(object),
            spec: spec.clone(),
            group: names.group,
            plural: names.plural,
            kind: names.kind,
            namespaced: names.namespaced,
        })
    }

    /// Whether another definition would serve the same.
    pub fn is_as(&self, other: &Self) -> bool {
        let names = |d: &Self| (d.kind.clone(), d.singular.clone(), d.list_kind.clone());
        self.spec == other.spec
            && self.terminating == other.terminating
            && names(self) == names(other)
            && (&self.short_names, &self.categories) == (&other.short_names, &other.categories)
    }

    /// The version that `api_version` (`group/version`) names.
    pub fn version(&self, api_version: &str) -> Option<usize> {
        let (group, name) = api::split_api_version(api_version);
        (group == self.group).then(|| self.versions.iter().position(|version| version.name == name))?
    }

    pub fn api_version(&self, at: usize) -> String {
        api::api_version(&self.group, &self.versions[at].name)
    }
}

struct Names {
    group: String,
    plural: String,
    kind: String,
    namespaced: bool,
}

impl Names {
    fn version(&self, version: &Value) -> Version {
        let given = version["schema"]["openAPIV3Schema"].clone();
        let structural = Structural::of(&given);
        let subresources = &version["subresources"];
        let has_status = subresources["status"].is_object();
        let scale = scale(&subresources["scale"]);
        let mut subresource_names = Vec::new();
        if has_status {
            subresource_names.push("status");
        }
        if scale.is_some() {
            subresource_names.push("scale");
        }
        let name = version["name"].as_str().unwrap_or("").to_owned();
        let names = KindNames {
            group: self.group.clone(),
            version: name.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
            namespaced: self.namespaced,
            subresources: subresource_names,
        };
        Version {
            served: version["served"] == true,
            has_status,
            scale,
            schema: custom::compile(&structural, &names),
            has_defaults: structural.has_defaults(),
            rules: Rules::of(&structural),
            structural,
            given,
            columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(), // none given
            selectable: selectable(&version["selectableFields"]),
            deprecation: self.deprecation(version, &name),
            name,
        }
    }

    fn deprecation(&self, version: &Value, name: &str) -> Option<String> {
        if version["deprecated"] != true {
            return None;
        }
        let own = version["deprecationWarning"].as_str().map(str::to_owned);
        Some(own.unwrap_or_else(|| format!("{}/{name} {} is deprecated", self.group, self.kind)))
    }
}

fn scale(scale: &Value) -> Option<Scale> {
    let path = |field: &str| scale[field].as_str().and_then(custom::simple_path);
    Some(Scale {
        spec: path("specReplicasPath")?,
        status: path("statusReplicasPath")?,
        selector: path("labelSelectorPath"),
        spec_path: scale["specReplicasPath"].as_str().unwrap_or("").to_owned(),
    })
}

fn selectable(fields: &Value) -> Vec<(String, Vec<String>)> {
    let field = |field: &Value| {
        let path = field["jsonPath"].as_str()?;
        Some((path.trim_start_matches('.').to_owned(), custom::simple_path(path)?))
    };
    fields.as_array().into_iter().flatten().filter_map(field).collect()
}

impl Kind {
    pub fn version(&self) -> &Version {
        &self.definition.versions[self.at]
    }

    /// The same kind in another version.
    pub fn in_version(&self, at: usize) -> Self {
        Self { definition: self.definition.clone(), at }
    }

    pub fn type_ref(&self) -> TypeRef<'_> {
        let schema = &self.version().schema;
        schema.type_ref(schema.resources()[0].type_id)
    }

    pub fn decode(
        &self,
        bytes: &[u8],
        encoding: Encoding,
        validation: Validation,
    ) -> Result<Decoded, DecodeError> {
        let schema = &self.version().structural;
        match encoding {
            Encoding::Json => custom::decode_custom_json(schema, bytes, validation),
            Encoding::Yaml => custom::decode_custom_yaml(schema, bytes, validation),
            Encoding::Protobuf => Err(DecodeError::NotProtobuf),
        }
    }

    pub fn reread(&self, tree: &Value, validation: Validation) -> Result<Decoded, DecodeError> {
        custom::reread_custom(&self.version().structural, tree, validation)
    }

    /// What lies in the store: of any version, pruned and defaulted by that one.
    pub fn decode_stored(&self, bytes: &[u8]) -> Result<Value, serde_json::Error> {
        let mut value: Value = serde_json::from_slice(bytes)?;
        let stored = value["apiVersion"].as_str().and_then(|version| self.definition.version(version));
        let kind = self.in_version(stored.unwrap_or(self.at)); // of a version that is gone: as if of this
        custom::prune(&kind.version().structural, &mut value);
        kind.default(&mut value);
        Ok(value)
    }

    pub fn default(&self, value: &mut Value) {
        if self.version().has_defaults {
            custom::apply_custom_defaults(&self.version().structural, value);
        }
    }

    pub fn validate_create(&self, object: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let root = Path::Root;
        let metadata = root.child("metadata");
        api::validate::metadata::check_metadata(
            &object["metadata"],
            self.definition.namespaced,
            api::validate::names::dns1123_subdomain,
            &metadata,
            &mut errors,
        );
        let schema = &self.version().structural;
        errors.extend(custom::validate_custom(schema, object));
        self.check_rules(object, None, &mut errors);
        self.check_scale(object, &mut errors);
        errors
    }

    pub fn validate_update(&self, new: &Value, old: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let root = Path::Root;
        let metadata = root.child("metadata");
        api::validate::metadata::check_metadata_update(
            &new["metadata"],
            &old["metadata"],
            &metadata,
            &mut errors,
        );
        let schema = &self.version().structural;
        errors.extend(custom::validate_custom_update(schema, new, old));
        self.check_rules(new, Some(old), &mut errors);
        self.check_scale(new, &mut errors);
        errors
    }

    fn check_rules(&self, object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
        if let Some(rules) = &self.version().rules {
            rules.check(object, old, errors);
        }
    }

    /// Replicas are counts.
    fn check_scale(&self, object: &Value, errors: &mut FieldErrors) {
        let Some(scale) = &self.version().scale else { return };
        let limit = i64::from(i32::MAX);
        for path in [&scale.spec, &scale.status] {
            let Some(count) = value_at(object, path).and_then(Value::as_i64) else { continue };
            let joined = path.join(".");
            let root = Path::Root;
            let place = root.child(&joined);
            if count < 0 {
                errors.invalid(&place, count, "should be a non-negative integer");
            } else if count > limit {
                errors.invalid(&place, count, format!("should be less than or equal to {limit}"));
            }
        }
    }

    pub fn selectable(&self, object: &Value) -> Vec<(Box<str>, Box<str>)> {
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let fields = self.version().selectable.iter();
        fields.map(|(label, path)| (label.as_str().into(), text(value_at(object, path)).into())).collect()
    }
}

/// The value behind some names.
pub fn value_at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

/// Sets the value behind some names, making the objects on the way.
pub fn set_at(object: &mut Value, path: &[String], value: Value) {
    let mut place = object;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = &mut place[name.as_str()];
    }
    *place = value;
}
