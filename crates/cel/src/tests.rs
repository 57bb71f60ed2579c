use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn environment() -> Environment {
    let mut env = Environment::new();
    let spec = Type::object(
        "spec",
        &[
            ("oars", Type::Int),
            ("name", Type::String),
            ("tags", Type::list(Type::String)),
            ("at", Type::Timestamp),
        ],
    );
    env.declare("self", spec);
    env.declare("any", Type::Dyn);
    env
}

fn evaluated(text: &str) -> String {
    let this = json!({"oars": 50, "name": "dromon", "tags": ["a", "b"], "at": "2026-01-02T03:04:05Z"});
    let any: Json = json!({"a": {"b": [1, 2.5, "x"]}, "n": null});
    let env = environment();
    let program = match env.compile(text) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let kind = Type::object(
        "spec",
        &[
            ("oars", Type::Int),
            ("name", Type::String),
            ("tags", Type::list(Type::String)),
            ("at", Type::Timestamp),
        ],
    );
    let names = [("self", Value::of(&this, &kind)), ("any", Value::of(&any, &Type::Dyn))];
    let mut budget = PER_CALL_BUDGET;
    match program.evaluate(&names, &mut budget) {
        Ok(value) => value.to_json().map_or_else(|| format!("{value:?}"), |json| json.to_string()),
        Err(error) => format!("error: {error}"),
    }
}

fn check(text: &str, wanted: Expect) {
    wanted.assert_eq(&evaluated(text));
}

#[test]
fn what_holds() {
    let mut wrong: Vec<String> = Vec::new();
    for text in [
        "self.oars % 2 == 0",
        "1 + 2 * 3 == 7 && -1 < 0 && !(1 > 2)",
        "9223372036854775807 > 1 && -9223372036854775808 < 0",
        "dyn(1) == 1.0 && 1u == 1u && 2.5 > 2",
        "self.name.startsWith('dro') && self.name.matches('^d.*n$')",
        "self.tags.all(t, t.size() == 1) && self.tags.exists(t, t == 'b') && self.tags.exists_one(t, t == 'a')",
        "self.tags.map(t, t + '!') == ['a!', 'b!'] && self.tags.filter(t, t != 'a').size() == 1",
        "'a' in self.tags && !('z' in self.tags) && 'a' in {'a': 1}",
        "has(any.a) && !has(any.z) && has(any.a.b) && any.a.b[1] == 2.5",
        "any.?z.?y.orValue('none') == 'none' && any.?a.hasValue() && any[?'a'].hasValue()",
        "true || any.z && false || any.zz",
        "(1 / 0 == 1) || true",
        "[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [1, 2].isSorted() && [1, 1].indexOf(1) == 0",
        "'a,b'.split(',') == ['a', 'b'] && 'Abc'.lowerAscii() == 'abc' && 'abc'.substring(1, 2) == 'b'",
        "'%s is %d, %.2f'.format(['x', 3, 1.5]) == 'x is 3, 1.50' && ['a', 'b'].join('-') == 'a-b'",
        "duration('90m') > duration('1h') && timestamp('2026-01-01T00:00:00Z') + duration('1s') > timestamp('2026-01-01T00:00:00Z')",
        "self.at.getFullYear() == 2026 && self.at.getMonth() == 0 && self.at.getDayOfMonth() == 1",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('1500m')).asInteger() == 2",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.2.3.4') && !isIP('::ffff:1.2.3.4')",
        "url('https://user@example.com:80/p?x=1').getHost() == 'example.com:80' && !isURL('nope')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1]) && math.greatest(1, 3, 2) == 3",
        "cel.bind(x, self.oars, x + x) == 100 && optional.of(1).optMap(v, v + 1).value() == 2",
        "format.named('dns1123Label').value().validate('Nope').hasValue()",
        "{'a': 1, 'b': 2}.map(k, k).size() == 2 && [1, 2].all(i, v, v == i + 1)",
        "type(1) == int && dyn(1) == 1 && string(1) == '1' && int('7') == 7",
        "'héllo'.size() == 5 && r'\\d' == '\\\\d' && \"\"\"a'b\"\"\".size() == 3",
        "[1, 2].transformList(i, v, v * 2) == [2, 4] && [3, 1, 2].sortBy(x, -x) == [3, 2, 1]",
        "b'abc'.size() == 3 && base64.decode('aGVsbG8=') == b'hello'",
        "(self.oars > 3 ? 'many' : 'few') == 'many'",
    ] {
        let told = evaluated(text);
        if told != "true" {
            wrong.push(format!("{text}: {told}"));
        }
    }
    assert_eq!(wrong.join("\n"), "");
}

#[test]
fn what_fails() {
    check("any.z == 1", expect!["error: no such key: z"]);
    check("1 / 0", expect!["error: division by zero"]);
    check("[1][5]", expect!["error: index out of bounds: 5"]);
    check("9223372036854775807 + 1", expect!["error: return error for overflow"]);
    check("optional.none().value()", expect!["error: optional.none() dereference"]);
}

#[test]
fn what_does_not_compile() {
    check(
        "self.sails > 1",
        expect![[r#"
        compilation failed: ERROR: <input>:1:5: undefined field 'sails'
         | self.sails > 1
         | ....^"#]],
    );
    check(
        "slef.oars == 1",
        expect![[r#"
        compilation failed: ERROR: <input>:1:1: undeclared reference to 'slef' (in container '')
         | slef.oars == 1
         | ^"#]],
    );
    check(
        "self.oars == 'x'",
        expect![[r#"
        compilation failed: ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(int, string)'
         | self.oars == 'x'
         | ..........^"#]],
    );
    check(
        "self.name.foo()",
        expect![[r#"
        compilation failed: ERROR: <input>:1:14: undeclared reference to 'foo' (in container '')
         | self.name.foo()
         | .............^"#]],
    );
    check(
        "1 +",
        expect![[r#"
        compilation failed: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting something else
         | 1 +
         | ...^"#]],
    );
    check(
        "[1, 'a']",
        expect![[r#"
        compilation failed: ERROR: <input>:1:5: expected type 'int' but found 'string'
         | [1, 'a']
         | ....^"#]],
    );
}

#[test]
fn bombs_do_not_go_off() {
    let doubled = (0..40).fold("'x'".to_owned(), |inner, n| format!("cel.bind(v{n}, {inner}, v{n} + v{n})"));
    let nested = "[1,2,3,4,5,6,7,8,9,10].all(a, ".repeat(12) + "true" + &")".repeat(12);
    let ranges = "lists.range(100000).all(a, lists.range(100000).all(b, true))";
    for text in [doubled.as_str(), &nested, ranges] {
        let told = evaluated(text);
        assert!(
            told.contains("cost limit") || told.contains("limit exceeded") || told.contains("compilation"),
            "{told}"
        );
    }
    let deep = "(".repeat(5000) + "1" + &")".repeat(5000);
    assert!(evaluated(&deep).contains("recursion limit"));
    let long = vec!["1"; 5000].join(" + ");
    assert!(evaluated(&long).contains("recursion limit"));
}

#[test]
fn costs_are_estimated_from_sizes() {
    let cost = |size: u64, text: &str| {
        let mut env = environment();
        let item = std::sync::Arc::new(Bound { size: 10, ..Bound::default() });
        let tags = Bound { size, item: Some(item), ..Bound::default() };
        let fields = [("tags".to_owned(), std::sync::Arc::new(tags))].into();
        env.bound("self", std::sync::Arc::new(Bound { size: 1, item: None, fields }));
        env.compile(text).expect("compiles").estimate
    };
    assert!(cost(10, "self.tags.all(a, self.tags.all(b, a == b))") < STATIC_LIMIT);
    assert!(cost(100_000, "self.tags.all(a, self.tags.all(b, a == b))") > STATIC_LIMIT);
}

#[test]
fn names_are_escaped() {
    let shown = |name: &str| escape(name).unwrap_or_else(|| "-".into());
    let names = ["a", "a-b", "a.b/c", "in", "a__b", "1a", "ä"].map(shown);
    assert_eq!(names, ["a", "a__dash__b", "a__dot__b__slash__c", "__in__", "a__underscores__b", "-", "-"]);
}

const PIECES: [&str; 34] = [
    "self",
    "any",
    ".oars",
    ".tags",
    "[0]",
    "(",
    ")",
    "'x'",
    "1",
    "2.5",
    "1u",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "in",
    "&&",
    "||",
    "?",
    ":",
    ".all(x,",
    ".map(x,",
    "size(",
    "[",
    "]",
    "{",
    "}",
    ",",
    "null",
    "!",
    ".matches('('",
    "has(",
];

proptest! {
    /// Whatever is written, it is refused or evaluated: nothing panics and nothing goes on for ever.
    #[test]
    fn anything_ends(pieces in proptest::collection::vec(0..PIECES.len(), 0..24), noise in ".{0,40}") {
        evaluated(&pieces.iter().map(|at| PIECES[*at]).collect::<Vec<_>>().join(" "));
        evaluated(&noise);
    }
}
