//! Amounts of a resource: `500m`, `1Gi`, `1e3`.
//!
//! Upstream: apimachinery/pkg/api/resource. Kept as an integer of nano units, which is upstream's finest precision;
//! 128 bits hold its largest amount.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    BinarySi,
    DecimalSi,
    DecimalExponent,
}

#[derive(Clone, Copy, Debug, Eq)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("unable to parse numeric part of quantity")]
    Number,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    pub fn from_integer(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    pub fn from_milli(value: i64) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Whole units, rounded up (away from zero).
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded up (away from zero).
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    fn scaled(self, unit: i128) -> i64 {
        let whole = self.nanos / unit;
        let rounded = whole + if self.nanos % unit == 0 { 0 } else { self.nanos.signum() };
        rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    pub fn format(self) -> Format {
        self.format
    }

    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    pub fn is_integer(self) -> bool {
        self.nanos % NANO == 0
    }
}

/// The sum keeps the format of the first, unless that is zero.
impl std::ops::Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::hash::Hash for Quantity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        let (multiplier, format) = multiplier(suffix)?;
        let amount = amount(whole, fraction, multiplier)?;
        Ok(Self { nanos: if text.starts_with('-') { -amount } else { amount }, format })
    }
}

/// A power of ten or of two.
#[derive(Clone, Copy)]
enum Multiplier {
    Ten(i32),
    Two(u32),
}

fn multiplier(suffix: &str) -> Result<(Multiplier, Format), QuantityError> {
    let decimal = |exponent| Ok((Multiplier::Ten(exponent), Format::DecimalSi));
    let binary = |exponent| Ok((Multiplier::Two(exponent), Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        other if !is_suffix(other) => Err(QuantityError::Format),
        other => {
            let exponent = other.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            Ok((Multiplier::Ten(exponent), Format::DecimalExponent))
        }
    }
}

/// Letters of suffixes, a sign, digits: what does not even look so is told otherwise.
fn is_suffix(text: &str) -> bool {
    let rest = text.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    rest.chars().all(|c| c.is_ascii_digit())
}

/// Nano units, rounded up; amounts beyond upstream's largest become the largest.
fn amount(whole: &str, fraction: &str, multiplier: Multiplier) -> Result<i128, QuantityError> {
    const LARGEST: i128 = i64::MAX as i128 * NANO;
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    let mantissa: i128 = match digits.get(..30) {
        // Digits beyond the thirtieth cannot count below the largest amount's precision.
        Some(first) if digits.len() > 30 => {
            let rest = (digits.len() - 30) as i32;
            let first: i128 = first.parse().map_err(|_| QuantityError::Number)?;
            return Ok(scale_ten(first, rest - fraction.len() as i32 + 9, multiplier).min(LARGEST));
        }
        _ => digits.parse().map_err(|_| QuantityError::Number)?,
    };
    Ok(scale_ten(mantissa, 9 - fraction.len() as i32, multiplier).min(LARGEST))
}

fn scale_ten(mantissa: i128, exponent: i32, multiplier: Multiplier) -> i128 {
    let (exponent, two) = match multiplier {
        Multiplier::Ten(more) => (exponent.saturating_add(more), 0),
        Multiplier::Two(bits) => (exponent, bits),
    };
    let product = mantissa.saturating_mul(1i128 << two);
    match u32::try_from(exponent) {
        Ok(up) => 10i128.checked_pow(up).map_or(i128::MAX, |power| product.saturating_mul(power)),
        Err(_) => {
            let Some(power) = 10i128.checked_pow(exponent.unsigned_abs()) else { return 1 };
            product / power + i128::from(product % power != 0)
        }
    }
}

const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The canonical form: no fraction, the largest suffix that allows it.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nanos.abs() < 1024 * NANO || !self.is_integer();
        match self.format {
            Format::BinarySi if !small => {
                let (number, power) = reduce(self.nanos / NANO, 1024, BINARY.len() - 1);
                write!(f, "{number}{}", BINARY[power])
            }
            Format::DecimalExponent => {
                let (number, power) = reduce(self.nanos, 1000, usize::MAX);
                match power as i32 * 3 - 9 {
                    0 => write!(f, "{number}"),
                    exponent => write!(f, "{number}e{exponent}"),
                }
            }
            _ => {
                let (number, power) = reduce(self.nanos, 1000, DECIMAL.len() - 1);
                write!(f, "{number}{}", DECIMAL[power])
            }
        }
    }
}

/// Divides by `base` as often as it goes evenly; zero counts as plain units.
fn reduce(mut number: i128, base: i128, most: usize) -> (i128, usize) {
    if number == 0 {
        return (0, if base == 1024 { 0 } else { 3 });
    }
    let mut power = 0;
    while number % base == 0 && power < most {
        number /= base;
        power += 1;
    }
    (number, power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().map_or_else(|error| error.to_string(), |quantity| quantity.to_string())
    }

    #[test]
    fn canonical_forms_are_upstreams() {
        for (input, expected) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1024Ki", "1Mi"),
            ("1Gi", "1Gi"),
            ("1500M", "1500M"),
            ("1000k", "1M"),
            ("512", "512"),
            ("1.5Gi", "1536Mi"),
            ("0.1Ki", "102400m"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("100e-3", "100e-3"),
            ("-1", "-1"),
            ("+2", "2"),
            (".5", "500m"),
            ("1.", "1"),
            ("0.0000000001", "1n"),
            ("1000Ki", "1000Ki"),
            ("128974848", "128974848"),
        ] {
            assert_eq!(canonical(input), expected, "{input}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        assert!(canonical("").starts_with("quantities must match"));
        assert!(canonical("abc").starts_with("quantities must match"));
        assert!(canonical("1Q").starts_with("quantities must match"));
        for text in ["1mm", "0.1mi", "1i", "-3.01e-"] {
            assert_eq!(canonical(text), "unable to parse quantity's suffix", "{text}");
        }
    }

    #[test]
    fn values_round_up() {
        let quantity = |text: &str| text.parse::<Quantity>().expect("a quantity");
        assert_eq!((quantity("1500m").value(), quantity("1500m").milli_value()), (2, 1500));
        assert_eq!((quantity("1u").milli_value(), quantity("-1500m").value()), (1, -2));
        assert_eq!((quantity("1Gi") + quantity("1Gi")).to_string(), "2Gi");
        assert!(quantity("1Gi") > quantity("1G") && quantity("1000m") == quantity("1"));
    }

    proptest! {
        #[test]
        fn the_canonical_form_means_the_same(number in -1_000_000_000i64..1_000_000_000, suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e3|)") {
            let first: Quantity = format!("{number}{suffix}").parse().expect("a quantity");
            let again: Quantity = first.to_string().parse().expect("canonical");
            prop_assert_eq!(first, again);
            prop_assert_eq!(first.to_string(), again.to_string());
        }
    }
}
