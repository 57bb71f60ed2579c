//! Objects that decode but make no sense must be refused in words, never by a panic: every resource is filled with
//! values of the right types and awkward contents, then defaulted, checked and printed.

use crate::schema::{ResourceRef, Schema, Shape, TypeRef};
use crate::{apply_defaults, table, validate_create, validate_update};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const TEXTS: &[&str] = &[
    "",
    "a",
    "-",
    "ä-",
    "a/b/c",
    "..",
    "%",
    "None",
    "99999%",
    "Always",
    "ReadWriteOnce",
    "1Gi",
    "127.0.0.1",
    "::1",
];
const NUMBERS: &[i64] = &[0, 1, -1, 65536, i64::MAX, i64::MIN];

/// Levels and objects at most in one resource: types that hold themselves would never end with some seeds.
const MOST_LEVELS: usize = 24;
const MOST_OBJECTS: usize = 5_000;

/// Spends the numbers of a seed, round and round.
struct Source<'a> {
    seed: &'a [u8],
    at: usize,
    objects: usize,
}

impl Source<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.at += 1;
        usize::from(self.seed[self.at % self.seed.len()]) % limit
    }

    /// A whole resource.
    fn resource(&mut self, owner: TypeRef<'_>) -> Value {
        self.objects = 0;
        self.object(owner, 0)
    }

    fn object(&mut self, owner: TypeRef<'_>, depth: usize) -> Value {
        let mut map = Map::new();
        self.objects += 1;
        for field in owner.json_fields() {
            let room = depth < MOST_LEVELS && self.objects < MOST_OBJECTS;
            // deep down less and less is there
            if depth < 2 || (self.below(depth + 2) == 0 && room) {
                map.insert(field.name.to_string(), self.value(owner.schema, field.shape, depth + 1));
            }
        }
        Value::Object(map)
    }

    fn value(&mut self, schema: &Schema, shape: Shape, depth: usize) -> Value {
        match shape {
            Shape::Bool => json!(self.below(2) == 0),
            Shape::Int32 | Shape::Int64 => json!(NUMBERS[self.below(NUMBERS.len())]),
            Shape::Float64 => json!(0.5),
            Shape::Quantity => json!(["0", "-1", "1500m", "1Gi"][self.below(4)]),
            Shape::IntOrString if self.below(2) == 0 => json!(NUMBERS[self.below(NUMBERS.len())]),
            Shape::Time | Shape::MicroTime => json!("2026-01-01T00:00:00Z"),
            Shape::Raw | Shape::Json | Shape::FieldsV1 => json!({}),
            Shape::Struct(id) => self.object(schema.type_ref(id), depth),
            Shape::List(inner) => {
                let count = self.below(3);
                (0..count).map(|_| self.value(schema, schema.shape(inner), depth + 1)).collect()
            }
            Shape::Map(inner) => {
                let key = TEXTS[self.below(TEXTS.len())].to_owned();
                json!({key: self.value(schema, schema.shape(inner), depth + 1)})
            }
            _ => json!(TEXTS[self.below(TEXTS.len())]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_panics(seed in proptest::collection::vec(any::<u8>(), 1..64)) {
        let schema = Schema::builtin();
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut source = Source { seed: &seed, at: 0, objects: 0 };
        for resource in schema.resources() {
            let resource = ResourceRef { schema, resource };
            let mut objects = [source.resource(resource.object()), source.resource(resource.object())];
            for object in &mut objects {
                apply_defaults(resource.object(), object);
            }
            let [new, old] = &objects;
            let told = [validate_create(resource, new), validate_update(resource, new, old, None)];
            prop_assert!(told.iter().all(|errors| errors.iter().all(|error| !error.to_string().is_empty())));
            let columns = table::columns_of(resource);
            let row = table::row(&columns, new, table::Include::None, now);
            prop_assert_eq!(row["cells"].as_array().map_or(0, Vec::len), columns.len());
        }
    }
}
