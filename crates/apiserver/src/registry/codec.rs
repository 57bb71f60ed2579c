//! One kind in one version: bytes to values and back, defaults, checks. All of it is the `api` crate's engine; this
//! is where its failures become what clients read.

use api::{DecodeError, Decoded, FieldErrors, ResourceRef, Schema, TypeRef, Validation};
use serde_json::{Value, json};

use crate::custom::Kind;
use crate::error::{ApiError, Result};
use crate::media::Encoding;

/// How objects of one kind and version are read and written.
#[derive(Clone)]
pub struct Codec(Source);

#[derive(Clone)]
enum Source {
    BuiltIn {
        object: TypeRef<'static>,
        /// Of kinds that are resources.
        resource: Option<ResourceRef<'static>>,
    },
    Custom(Kind),
}

impl Codec {
    pub fn of_resource(resource: ResourceRef<'static>) -> Self {
        Self(Source::BuiltIn { object: resource.object(), resource: Some(resource) })
    }

    pub fn of_type(object: TypeRef<'static>) -> Self {
        Self(Source::BuiltIn { object, resource: None })
    }

    pub fn custom(kind: Kind) -> Self {
        Self(Source::Custom(kind))
    }

    /// The custom kind, if it is one.
    pub fn as_custom(&self) -> Option<&Kind> {
        match &self.0 {
            Source::BuiltIn { .. } => None,
            Source::Custom(kind) => Some(kind),
        }
    }

    /// By the object's own words; none if the kind is not known.
    pub fn of_object(object: &Value) -> Option<Self> {
        let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        Self::named(version, kind)
    }

    /// A built-in kind.
    pub fn named(api_version: &str, kind: &str) -> Option<Self> {
        let schema = Schema::builtin();
        let (group, version) = api::split_api_version(api_version);
        let found = match group {
            // These belong to every group, and are described where the metadata is.
            "meta.k8s.io" => schema.named("meta/v1", kind),
            "" => schema.kind("", version, kind).or_else(|| schema.named("meta/v1", kind)),
            _ => schema.kind(group, version, kind),
        };
        found.map(Self::of_type)
    }

    pub fn type_ref(&self) -> TypeRef<'_> {
        match &self.0 {
            Source::BuiltIn { object, .. } => *object,
            Source::Custom(kind) => kind.type_ref(),
        }
    }

    fn resource(&self) -> Option<ResourceRef<'static>> {
        match &self.0 {
            Source::BuiltIn { resource, .. } => *resource,
            Source::Custom(_) => None,
        }
    }

    /// `Deployment` and `apps/v1`.
    fn names(&self) -> (&str, String, &str) {
        let described = self.type_ref().get();
        (&described.name, described.api_version(), &described.version)
    }

    /// A client's bytes: an object of this kind, whatever its encoding, and what its sender should know.
    ///
    /// # Errors
    /// 400 for what is no such object.
    pub fn decode(
        &self,
        bytes: &[u8],
        encoding: Encoding,
        validation: Validation,
    ) -> Result<(Value, Vec<String>)> {
        let (kind, api_version, version) = self.names();
        let decoded = self.decode_any(bytes, encoding, validation).map_err(|error| {
            ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {error}"
            ))
        })?;
        let Decoded { mut value, warnings } = decoded;
        if !value.is_object() {
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error"
            )));
        }
        check_type(&mut value, kind, &api_version)?;
        let warnings = if validation == Validation::Warn { warnings } else { Vec::new() };
        Ok((value, warnings))
    }

    fn decode_any(
        &self,
        bytes: &[u8],
        encoding: Encoding,
        validation: Validation,
    ) -> std::result::Result<Decoded, DecodeError> {
        let object = match &self.0 {
            Source::BuiltIn { object, .. } => *object,
            Source::Custom(kind) => return kind.decode(bytes, encoding, validation),
        };
        match encoding {
            Encoding::Json => api::decode_json(object, bytes, validation),
            Encoding::Yaml => api::decode_yaml(object, bytes, validation),
            Encoding::Protobuf => {
                api::decode_protobuf(object, bytes).map(|value| Decoded { value, warnings: Vec::new() })
            }
        }
    }

    /// A client's options: no kind is asked for and nothing is warned of.
    ///
    /// # Errors
    /// 400 for what cannot be read.
    pub fn decode_plain(&self, bytes: &[u8], encoding: Encoding) -> Result<Value> {
        self.decode_any(bytes, encoding, Validation::Ignore)
            .map(|decoded| decoded.value)
            .map_err(|error| ApiError::bad_request(error.to_string()))
    }

    /// A tree that was made from an object, by a patch say.
    ///
    /// # Errors
    /// 400 with the reason that decoding gives.
    pub fn reread(&self, tree: &Value, validation: Validation) -> std::result::Result<Decoded, DecodeError> {
        match &self.0 {
            Source::BuiltIn { object, .. } => api::decode_value(*object, tree, validation),
            Source::Custom(kind) => kind.reread(tree, validation),
        }
    }

    /// What lies in the store.
    ///
    /// # Errors
    /// 500: the store has something that this server did not write.
    pub fn decode_stored(&self, bytes: &[u8]) -> Result<Value> {
        let failure =
            |error: String| ApiError::internal(format!("unable to decode a stored object: {error}"));
        match &self.0 {
            Source::BuiltIn { object, .. } => {
                api::decode_protobuf(*object, bytes).map_err(|error| failure(error.to_string()))
            }
            Source::Custom(kind) => kind.decode_stored(bytes).map_err(|error| failure(error.to_string())),
        }
    }

    pub fn encode_stored(&self, value: &Value) -> Vec<u8> {
        match &self.0 {
            Source::BuiltIn { object, .. } => api::encode_protobuf(*object, value),
            Source::Custom(_) => api::encode_json_any(value),
        }
    }

    pub fn encode_json(&self, value: &Value) -> Vec<u8> {
        match &self.0 {
            Source::BuiltIn { object, .. } => api::encode_json(*object, value),
            Source::Custom(_) => api::encode_json_any(value),
        }
    }

    pub fn has_protobuf(&self) -> bool {
        match &self.0 {
            Source::BuiltIn { object, .. } => !object.get().proto.is_empty(),
            Source::Custom(_) => false,
        }
    }

    /// # Errors
    /// 406 for kinds without protobuf.
    pub fn encode_protobuf(&self, value: &Value) -> Result<Vec<u8>> {
        if !self.has_protobuf() {
            return Err(ApiError::not_acceptable(&crate::media::ALL));
        }
        Ok(api::encode_protobuf(self.type_ref(), value))
    }

    pub fn default(&self, value: &mut Value) {
        match &self.0 {
            Source::BuiltIn { object, .. } => api::apply_defaults(*object, value),
            Source::Custom(kind) => kind.default(value),
        }
    }

    pub fn validate_create(&self, value: &Value) -> FieldErrors {
        match &self.0 {
            Source::BuiltIn { resource, .. } => {
                resource.map_or_else(FieldErrors::new, |resource| api::validate_create(resource, value))
            }
            Source::Custom(kind) => kind.validate_create(value),
        }
    }

    pub fn validate_update(&self, new: &Value, old: &Value, subresource: &str) -> FieldErrors {
        let subresource = (!subresource.is_empty()).then_some(subresource);
        match &self.0 {
            Source::BuiltIn { resource, .. } => resource.map_or_else(FieldErrors::new, |resource| {
                api::validate_update(resource, new, old, subresource)
            }),
            Source::Custom(kind) => kind.validate_update(new, old),
        }
    }

    fn rules(&self) -> Option<&'static api::rules::ResourceRules> {
        let resource = self.resource()?;
        api::rules::of_resource(&resource.object().get().package, &resource.resource.plural)
    }

    pub fn short_names(&self) -> &'static [&'static str] {
        self.rules().map_or(&[], |rules| rules.short_names)
    }

    pub fn categories(&self) -> &'static [&'static str] {
        self.rules().map_or(&[], |rules| rules.categories)
    }

    /// Values of the fields that objects of this kind can be selected by.
    pub fn selectable(&self, value: &Value) -> Vec<(Box<str>, Box<str>)> {
        if let Source::Custom(kind) = &self.0 {
            return kind.selectable(value);
        }
        let fields = self.rules().map_or(&[][..], |rules| rules.selectable);
        fields.iter().map(|field| (field.label.into(), field.value(value).into())).collect()
    }

    pub fn is_selectable(&self, label: &str) -> bool {
        let of_custom = |kind: &Kind| kind.version().selectable.iter().any(|(own, _)| own == label);
        matches!(label, "metadata.name" | "metadata.namespace")
            || self.as_custom().is_some_and(of_custom)
            || self.rules().is_some_and(|rules| rules.selectable.iter().any(|field| field.label == label))
    }

    pub fn columns(&self) -> Vec<api::table::Column> {
        if let Source::Custom(kind) = &self.0 {
            return api::table::custom_columns(&kind.version().columns);
        }
        let plural = self.resource().map_or("", |resource| &resource.resource.plural);
        api::table::columns(&self.type_ref().get().package, plural)
    }
}

/// The object says of itself what it is, or nothing.
fn check_type(value: &mut Value, kind: &str, api_version: &str) -> Result<()> {
    let said = |field: &str| value[field].as_str().unwrap_or("").to_string();
    let (own_kind, own_version) = (said("kind"), said("apiVersion"));
    if !own_kind.is_empty() && own_kind != kind {
        let version = api::split_api_version(&own_version).1;
        return Err(ApiError::bad_request(format!(
            "{own_kind} in version {version:?} cannot be handled as a {kind}: no kind {own_kind:?} is registered for \
             this resource"
        )));
    }
    if !own_version.is_empty() && own_version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    value["kind"] = json!(kind);
    value["apiVersion"] = json!(api_version);
    Ok(())
}
