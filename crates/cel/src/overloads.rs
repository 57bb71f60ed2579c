//! Every function's signatures: `name(arguments) result`, one a line; a leading dot is a method, whose receiver is the
//! first argument.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::types::Type;

const SIGNATURES: &str = "
!_(bool) bool
_&&_(bool,bool) bool
_||_(bool,bool) bool
_?_:_(bool,A,A) A
_==_(A,A) bool
_!=_(A,A) bool
-_(int) int
-_(double) double
_+_(int,int) int
_+_(uint,uint) uint
_+_(double,double) double
_+_(string,string) string
_+_(bytes,bytes) bytes
_+_([A],[A]) [A]
_+_(timestamp,duration) timestamp
_+_(duration,timestamp) timestamp
_+_(duration,duration) duration
_-_(int,int) int
_-_(uint,uint) uint
_-_(double,double) double
_-_(timestamp,timestamp) duration
_-_(timestamp,duration) timestamp
_-_(duration,duration) duration
_*_(int,int) int
_*_(uint,uint) uint
_*_(double,double) double
_/_(int,int) int
_/_(uint,uint) uint
_/_(double,double) double
_%_(int,int) int
_%_(uint,uint) uint
@in(A,[A]) bool
@in(A,{A:B}) bool
_[_]([A],int) A
_[_]({A:B},A) B
_[?_]([A],int) ?A
_[?_]({A:B},A) ?B
size(string) int
size(bytes) int
size([A]) int
size({A:B}) int
.size(string) int
.size(bytes) int
.size([A]) int
.size({A:B}) int
int(int) int
int(uint) int
int(double) int
int(string) int
int(timestamp) int
uint(uint) uint
uint(int) uint
uint(double) uint
uint(string) uint
double(double) double
double(int) double
double(uint) double
double(string) double
string(string) string
string(bool) string
string(int) string
string(uint) string
string(double) string
string(bytes) string
string(timestamp) string
string(duration) string
string(kubernetes.IP) string
string(kubernetes.CIDR) string
bytes(bytes) bytes
bytes(string) bytes
bool(bool) bool
bool(string) bool
dyn(A) dyn
type(A) type
timestamp(timestamp) timestamp
timestamp(string) timestamp
timestamp(int) timestamp
duration(duration) duration
duration(string) duration
duration(int) duration
matches(string,string) bool
.matches(string,string) bool
.contains(string,string) bool
.startsWith(string,string) bool
.endsWith(string,string) bool
.getFullYear(timestamp) int
.getMonth(timestamp) int
.getDate(timestamp) int
.getDayOfMonth(timestamp) int
.getDayOfWeek(timestamp) int
.getDayOfYear(timestamp) int
.getHours(timestamp) int
.getMinutes(timestamp) int
.getSeconds(timestamp) int
.getMilliseconds(timestamp) int
.getHours(duration) int
.getMinutes(duration) int
.getSeconds(duration) int
.getMilliseconds(duration) int
optional.of(A) ?A
optional.none() ?A
optional.ofNonZeroValue(A) ?A
.hasValue(?A) bool
.value(?A) A
.or(?A,?A) ?A
.orValue(?A,A) A
.charAt(string,int) string
.indexOf(string,string) int
.indexOf(string,string,int) int
.lastIndexOf(string,string) int
.lastIndexOf(string,string,int) int
.lowerAscii(string) string
.upperAscii(string) string
.replace(string,string,string) string
.replace(string,string,string,int) string
.split(string,string) [string]
.split(string,string,int) [string]
.substring(string,int) string
.substring(string,int,int) string
.trim(string) string
.join([string]) string
.join([string],string) string
.reverse(string) string
.format(string,[dyn]) string
strings.quote(string) string
.find(string,string) string
.findAll(string,string) [string]
.findAll(string,string,int) [string]
.isSorted([A]) bool
.sum([A]) A
.min([A]) A
.max([A]) A
.indexOf([A],A) int
.lastIndexOf([A],A) int
.flatten([A]) dyn
.slice([A],int,int) [A]
.sort([A]) [A]
.distinct([A]) [A]
.reverse([A]) [A]
.first([A]) ?A
.last([A]) ?A
lists.range(int) [int]
sets.contains([A],[A]) bool
sets.equivalent([A],[A]) bool
sets.intersects([A],[A]) bool
math.abs(A) A
math.ceil(double) double
math.floor(double) double
math.round(double) double
math.trunc(double) double
math.sign(A) A
math.isNaN(double) bool
math.isInf(double) bool
math.isFinite(double) bool
base64.encode(bytes) string
base64.decode(string) bytes
url(string) kubernetes.URL
isURL(string) bool
.getScheme(kubernetes.URL) string
.getHost(kubernetes.URL) string
.getHostname(kubernetes.URL) string
.getPort(kubernetes.URL) string
.getEscapedPath(kubernetes.URL) string
.getQuery(kubernetes.URL) {string:[string]}
quantity(string) kubernetes.Quantity
isQuantity(string) bool
.sign(kubernetes.Quantity) int
.isInteger(kubernetes.Quantity) bool
.asInteger(kubernetes.Quantity) int
.asApproximateFloat(kubernetes.Quantity) double
.add(kubernetes.Quantity,kubernetes.Quantity) kubernetes.Quantity
.add(kubernetes.Quantity,int) kubernetes.Quantity
.sub(kubernetes.Quantity,kubernetes.Quantity) kubernetes.Quantity
.sub(kubernetes.Quantity,int) kubernetes.Quantity
.isLessThan(kubernetes.Quantity,kubernetes.Quantity) bool
.isGreaterThan(kubernetes.Quantity,kubernetes.Quantity) bool
.compareTo(kubernetes.Quantity,kubernetes.Quantity) int
ip(string) kubernetes.IP
isIP(string) bool
isIP(string,int) bool
ip.isCanonical(string) bool
.family(kubernetes.IP) int
.isUnspecified(kubernetes.IP) bool
.isLoopback(kubernetes.IP) bool
.isLinkLocalMulticast(kubernetes.IP) bool
.isLinkLocalUnicast(kubernetes.IP) bool
.isGlobalUnicast(kubernetes.IP) bool
cidr(string) kubernetes.CIDR
isCIDR(string) bool
.containsIP(kubernetes.CIDR,string) bool
.containsIP(kubernetes.CIDR,kubernetes.IP) bool
.containsCIDR(kubernetes.CIDR,string) bool
.containsCIDR(kubernetes.CIDR,kubernetes.CIDR) bool
.ip(kubernetes.CIDR) kubernetes.IP
.masked(kubernetes.CIDR) kubernetes.CIDR
.prefixLength(kubernetes.CIDR) int
semver(string) kubernetes.Semver
semver(string,bool) kubernetes.Semver
isSemver(string) bool
isSemver(string,bool) bool
.major(kubernetes.Semver) int
.minor(kubernetes.Semver) int
.patch(kubernetes.Semver) int
.isLessThan(kubernetes.Semver,kubernetes.Semver) bool
.isGreaterThan(kubernetes.Semver,kubernetes.Semver) bool
.compareTo(kubernetes.Semver,kubernetes.Semver) int
format.named(string) ?kubernetes.NamedFormat
.validate(kubernetes.NamedFormat,string) ?[string]
.path(kubernetes.authorization.Authorizer,string) kubernetes.authorization.PathCheck
.group(kubernetes.authorization.Authorizer,string) kubernetes.authorization.GroupCheck
.serviceAccount(kubernetes.authorization.Authorizer,string,string) kubernetes.authorization.Authorizer
.resource(kubernetes.authorization.GroupCheck,string) kubernetes.authorization.ResourceCheck
.subresource(kubernetes.authorization.ResourceCheck,string) kubernetes.authorization.ResourceCheck
.namespace(kubernetes.authorization.ResourceCheck,string) kubernetes.authorization.ResourceCheck
.name(kubernetes.authorization.ResourceCheck,string) kubernetes.authorization.ResourceCheck
.check(kubernetes.authorization.ResourceCheck,string) kubernetes.authorization.Decision
.check(kubernetes.authorization.PathCheck,string) kubernetes.authorization.Decision
.allowed(kubernetes.authorization.Decision) bool
.reason(kubernetes.authorization.Decision) string
.errored(kubernetes.authorization.Decision) bool
.error(kubernetes.authorization.Decision) string
";

/// Namespaces of functions that look like fields: `optional.of`, `sets.contains`.
pub(crate) const SPACES: [&str; 9] =
    ["optional", "strings", "lists", "sets", "math", "base64", "ip", "format", "cel"];

#[derive(Debug)]
pub(crate) struct Overload {
    pub args: Vec<Type>,
    pub result: Type,
}

/// By name, methods with their dot.
static TABLE: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut table: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for line in SIGNATURES.lines().filter(|line| !line.is_empty()) {
        let (name, overload) = signature(line);
        table.entry(name).or_default().push(overload);
    }
    for operator in ["_<_", "_<=_", "_>_", "_>=_"] {
        table.insert(operator, comparisons());
    }
    for name in ["math.greatest", "math.least"] {
        let entry = table.entry(name).or_default();
        entry.extend((1..=6).map(|count| Overload { args: vec![Type::Dyn; count], result: Type::Dyn }));
    }
    table
});

/// Numbers compare with numbers, everything else with its own.
fn comparisons() -> Vec<Overload> {
    let numbers = [Type::Int, Type::Uint, Type::Double];
    let pair = |a: &Type, b: &Type| Overload { args: vec![a.clone(), b.clone()], result: Type::Bool };
    let mut all: Vec<Overload> =
        numbers.iter().flat_map(|a| numbers.iter().map(move |b| pair(a, b))).collect();
    let others = [Type::Bool, Type::String, Type::Bytes, Type::Timestamp, Type::Duration];
    all.extend(others.iter().map(|own| pair(own, own)));
    all
}

pub(crate) fn of(name: &str) -> &'static [Overload] {
    TABLE.get(name).map_or(&[], Vec::as_slice)
}

fn signature(line: &'static str) -> (&'static str, Overload) {
    let open = line.find('(').expect("a signature has arguments");
    let close = line.rfind(')').expect("a signature has arguments");
    let args = split(&line[open + 1..close]).iter().map(|text| read(text)).collect();
    (&line[..open], Overload { args, result: read(line[close + 1..].trim()) })
}

/// At the commas that stand in no bracket.
fn split(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

fn read(text: &'static str) -> Type {
    let inside = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(inner) = inside('[', ']') {
        return Type::list(read(inner));
    }
    if let Some(inner) = inside('{', '}') {
        let (key, value) = inner.split_once(':').expect("a map has key and value");
        return Type::map(read(key), read(value));
    }
    if let Some(inner) = text.strip_prefix('?') {
        return Type::optional(read(inner));
    }
    match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Type,
        "A" => Type::Param('A'),
        "B" => Type::Param('B'),
        name => Type::Named(name),
    }
}
