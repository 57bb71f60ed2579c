//! x-kubernetes-validations: expressions over values, compiled with the types of their schema.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/cel.

use std::collections::BTreeMap;

use api::custom::{Additional, Rule, Structural};
use api::{FieldError, FieldErrorKind, FieldErrors, ListKind, Path};
use cel::{Environment, EvalError, PER_CALL_BUDGET, Program, REQUEST_BUDGET, STATIC_LIMIT, Type};
use serde_json::Value;

/// The rules of a schema and of what it holds.
#[derive(Debug)]
pub struct Rules {
    kind: Type,
    own: Vec<Compiled>,
    properties: BTreeMap<String, Rules>,
    additional: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    list: ListKind,
    /// The name of the schema's type, which stands for the value in messages.
    shown: String,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Program,
    message: Option<Program>,
    transition: bool,
}

impl Rules {
    /// None where there are none.
    pub fn of(schema: &Structural) -> Option<Self> {
        schema.has_rules().then(|| compile(schema, "object", true))
    }

    /// Checks an object against what it was, if it was. `errors` are those that its schema has found.
    pub fn check(&self, object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
        use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        let blocks = |error: &FieldError| {
            matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if errors.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                       errors to complete validation";
            return errors.invalid(&Path::Root, Value::Null, why);
        }
        let mut run = Run { errors, left: REQUEST_BUDGET, over: false };
        run.value(self, object, old, &Path::Root);
    }
}

fn compile(schema: &Structural, place: &str, is_root: bool) -> Rules {
    let kind = cel::type_of(schema, place, is_root);
    let below = |schema: &Structural, name: &str| {
        schema.has_rules().then(|| compile(schema, &format!("{place}.{name}"), false))
    };
    Rules {
        // What does not compile was refused when the definition was written.
        own: schema.rules.iter().filter_map(|rule| compiled(rule, &kind, schema).ok()).collect(),
        properties: schema
            .properties
            .iter()
            .filter_map(|(name, schema)| Some((name.clone(), below(schema, name)?)))
            .collect(),
        additional: match &schema.additional {
            Additional::Schema(schema) => below(schema, "@elem").map(Box::new),
            _ => None,
        },
        items: schema.items.as_ref().and_then(|items| below(items, "@idx")).map(Box::new),
        list: schema.list.clone(),
        shown: schema.kind.clone(),
        kind,
    }
}

fn environment(kind: &Type, schema: &Structural, rule: &Rule) -> Environment {
    let mut env = Environment::new();
    let old = if rule.optional_old_self { Type::optional(kind.clone()) } else { kind.clone() };
    env.declare("self", kind.clone());
    env.declare("oldSelf", old);
    let bound = cel::bound_of(schema);
    env.bound("self", bound.clone());
    env.bound("oldSelf", bound);
    env
}

fn compiled(rule: &Rule, kind: &Type, schema: &Structural) -> Result<Compiled, cel::CompileError> {
    let env = environment(kind, schema, rule);
    let program = env.compile(&rule.rule)?;
    let message =
        (!rule.message_expression.is_empty()).then(|| env.compile(&rule.message_expression)).transpose()?;
    Ok(Compiled { transition: program.uses("oldSelf"), rule: rule.clone(), program, message })
}

struct Run<'e> {
    errors: &'e mut FieldErrors,
    left: u64,
    /// Nothing more is checked.
    over: bool,
}

impl Run<'_> {
    fn value(&mut self, rules: &Rules, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        if value.is_null() {
            return;
        }
        for compiled in &rules.own {
            self.rule(rules, compiled, value, old, path);
            if self.over {
                return;
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let old = old.and_then(|old| old.get(name));
                    if let Some(below) = rules.properties.get(name) {
                        self.value(below, value, old, &path.child(name));
                    } else if let Some(below) = &rules.additional {
                        self.value(below, value, old, &path.key(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &rules.items else { return };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| correlated(&rules.list, item, old));
                    self.value(below, item, old, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn rule(
        &mut self,
        rules: &Rules,
        compiled: &Compiled,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
    ) {
        let rule = &compiled.rule;
        let unchanged = old == Some(value);
        if (compiled.transition && old.is_none() && !rule.optional_old_self)
            || (unchanged && !compiled.transition)
        {
            return;
        }
        let this = cel::Value::of(value, &rules.kind);
        let before = old.map(|old| cel::Value::of(old, &rules.kind));
        let before = match (before, rule.optional_old_self) {
            (before, true) => cel::Value::Optional(before.map(std::sync::Arc::new)),
            (Some(before), false) => before,
            (None, false) => cel::Value::Null,
        };
        let names = [("self", this), ("oldSelf", before)];
        let mut budget = PER_CALL_BUDGET.min(self.left);
        let given = budget;
        let result = compiled.program.evaluate(&names, &mut budget);
        self.left -= given - budget;
        match result {
            Ok(cel::Value::Bool(true)) => {}
            Ok(_) => {
                let detail = self.message(compiled, &names);
                self.fail(compiled, &rules.shown, path, detail);
            }
            Err(EvalError::OverBudget) => {
                let why = match self.left {
                    0 => "validation failed due to running out of cost budget, no further validation rules will be run"
                        .to_owned(),
                    _ => format!("call cost exceeds limit for rule: {}", rule.rule),
                };
                self.errors.invalid(path, rules.shown.as_str(), why);
                self.over = true;
            }
            Err(EvalError::Failed(why)) => {
                self.errors.invalid(
                    path,
                    rules.shown.as_str(),
                    format!("rule evaluation error: {why}: {}", rule.rule),
                );
            }
        }
    }

    fn message(&mut self, compiled: &Compiled, names: &[(&str, cel::Value<'_>)]) -> String {
        let rule = &compiled.rule;
        let fallback = || match rule.message.trim() {
            "" => format!("failed rule: {}", rule.rule.trim()),
            message => message.to_owned(),
        };
        let Some(program) = &compiled.message else { return fallback() };
        let mut budget = PER_CALL_BUDGET.min(self.left);
        let given = budget;
        let made = program.evaluate(names, &mut budget);
        self.left -= given - budget;
        match made {
            Ok(cel::Value::Text(text))
                if !text.trim().is_empty() && !text.contains('\n') && text.len() <= 5 << 10 =>
            {
                text.trim().to_owned()
            }
            _ => fallback(),
        }
    }

    fn fail(&mut self, compiled: &Compiled, shown: &str, path: &Path<'_>, detail: String) {
        let field = &compiled.rule.field_path;
        let mut error = FieldError::new(path, FieldErrorKind::Invalid, shown.into(), detail);
        error.kind = match compiled.rule.reason.as_str() {
            "FieldValueRequired" => FieldErrorKind::Required,
            "FieldValueForbidden" => FieldErrorKind::Forbidden,
            "FieldValueDuplicate" => FieldErrorKind::Duplicate,
            _ => FieldErrorKind::Invalid,
        };
        error.path = format!("{}{field}", error.path).trim_start_matches('.').to_owned();
        self.errors.push(error);
    }
}

/// The old item that an item goes back to: only keys tell.
fn correlated<'a>(list: &ListKind, item: &Value, old: &'a Value) -> Option<&'a Value> {
    let ListKind::Map(keys) = list else { return None };
    old.as_array()?.iter().find(|old| keys.iter().all(|key| old.get(&**key) == item.get(&**key)))
}

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Checks the rules of a definition's schemas.
pub fn check_definition(definition: &Value, errors: &mut FieldErrors) {
    let root = Path::Root;
    let spec = root.child("spec");
    for (index, version) in definition["spec"]["versions"].as_array().into_iter().flatten().enumerate() {
        let versions = spec.child("versions");
        let version_path = versions.index(index);
        let schema = version_path.child("schema");
        let path = schema.child("openAPIV3Schema");
        let structural = Structural::of(&version["schema"]["openAPIV3Schema"]);
        check_schema(&structural, "object", true, 1, &path, errors);
    }
}

/// `times`: how often a value of this schema may stand in one object.
fn check_schema(
    schema: &Structural,
    place: &str,
    is_root: bool,
    times: u64,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    if !schema.has_rules() {
        return;
    }
    let kind = cel::type_of(schema, place, is_root);
    let at = path.child("x-kubernetes-validations");
    for (index, rule) in schema.rules.iter().enumerate() {
        check_rule(rule, &kind, schema, times, &at.index(index), errors);
    }
    for (name, below) in &schema.properties {
        let place = format!("{place}.{name}");
        check_schema(below, &place, false, times, &path.child("properties").key(name), errors);
    }
    let many = times.saturating_mul(cel::bound_of(schema).size.max(1));
    if let Some(items) = &schema.items {
        check_schema(items, &format!("{place}.@idx"), false, many, &path.child("items"), errors);
    }
    if let Additional::Schema(below) = &schema.additional {
        check_schema(
            below,
            &format!("{place}.@elem"),
            false,
            many,
            &path.child("additionalProperties"),
            errors,
        );
    }
}

fn check_rule(
    rule: &Rule,
    kind: &Type,
    schema: &Structural,
    times: u64,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let at = path.child("rule");
    if rule.rule.trim().is_empty() {
        return errors.required(&at, "rule is not specified");
    }
    let env = environment(kind, schema, rule);
    match env.compile(&rule.rule) {
        Err(error) => errors.invalid(&at, rule.rule.as_str(), error.to_string()),
        Ok(program) if !matches!(program.result(), Type::Bool | Type::Dyn) => {
            errors.invalid(&at, rule.rule.as_str(), "cel expression must evaluate to a bool");
        }
        Ok(program) => check_cost(program.estimate.saturating_mul(times), "rule", &at, errors),
    }
    if !rule.message_expression.is_empty() {
        let at = path.child("messageExpression");
        match env.compile(&rule.message_expression) {
            Err(error) => {
                let why = error.to_string().replacen(
                    "compilation failed",
                    "messageExpression compilation failed",
                    1,
                );
                errors.invalid(&at, rule.message_expression.as_str(), why);
            }
            Ok(program) if !matches!(program.result(), Type::String | Type::Dyn) => errors.invalid(
                &at,
                rule.message_expression.as_str(),
                "messageExpression must evaluate to a string",
            ),
            Ok(program) => {
                check_cost(program.estimate.saturating_mul(times), "messageExpression", &at, errors)
            }
        }
    }
    if !rule.message.is_empty() && rule.message.trim().is_empty() {
        errors.invalid(
            &path.child("message"),
            rule.message.as_str(),
            "message must be non-empty if specified",
        );
    } else if rule.message.trim().contains('\n') {
        errors.invalid(&path.child("message"), rule.message.as_str(), "message must not contain line breaks");
    } else if rule.rule.trim().contains('\n') && rule.message.is_empty() {
        errors.required(&path.child("message"), "message must be specified if rule contains line breaks");
    }
    if !rule.reason.is_empty() && !REASONS.contains(&rule.reason.as_str()) {
        errors.not_supported(&path.child("reason"), rule.reason.as_str(), &REASONS);
    }
    if !rule.field_path.is_empty() && !leads_to(schema, &rule.field_path) {
        errors.invalid(
            &path.child("fieldPath"),
            rule.field_path.as_str(),
            "fieldPath must be a valid path: does not refer to a valid field",
        );
    }
}

fn check_cost(cost: u64, what: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if cost <= STATIC_LIMIT {
        return;
    }
    let factor = cost as f64 / STATIC_LIMIT as f64;
    let shown = if factor > 100.0 { "more than 100x".to_owned() } else { format!("{factor:.1}x") };
    errors.forbidden(
        path,
        format!(
            "estimated {what} cost exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, \
             maxProperties, and maxLength where arrays, maps, and strings are declared)"
        ),
    );
}

/// Whether `.a.b` or `.a['b']` are properties of a schema.
fn leads_to(schema: &Structural, field_path: &str) -> bool {
    let plain = field_path.replace("['", ".").replace("']", "");
    let Some(names) = plain.strip_prefix('.') else { return false };
    names.split('.').try_fold(schema, |schema, name| schema.property(name)).is_some()
}
