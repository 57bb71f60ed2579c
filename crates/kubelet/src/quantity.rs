//! Reading quantities as numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths, rounded up; 0 for what is no quantity (the API server admits none such).
pub(crate) fn milli(quantity: &Quantity) -> i128 {
    parse_milli(&quantity.0).unwrap_or(0)
}

/// Whole units, rounded up.
pub(crate) fn whole(quantity: &Quantity) -> i64 {
    let milli = milli(quantity);
    i64::try_from((milli + 999).div_euclid(1000)).unwrap_or(i64::MAX)
}

pub(crate) fn bytes(quantity: &Quantity) -> u64 {
    u64::try_from(whole(quantity)).unwrap_or(0)
}

/// Memory as upstream's kubelet writes it: whole kibibytes.
pub(crate) fn kibibytes(bytes: u64) -> Quantity {
    Quantity(format!("{}Ki", bytes / 1024))
}

pub(crate) fn cpu(milli: u64) -> Quantity {
    Quantity(if milli.is_multiple_of(1000) { format!("{}", milli / 1000) } else { format!("{milli}m") })
}

fn parse_milli(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (numerator, denominator) = scale(suffix)?;
    let negative = number.starts_with('-');
    let (integer, fraction) = number
        .trim_start_matches(['+', '-'])
        .split_once('.')
        .unwrap_or((number.trim_start_matches(['+', '-']), ""));
    let digits: i128 = format!("{integer}{fraction}").parse().ok()?;
    let divisor = denominator.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let scaled = digits.checked_mul(numerator)?.checked_mul(1000)?;
    let up = (scaled + divisor - 1) / divisor;
    Some(if negative { -up } else { up })
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        let of = |text: &str| milli(&Quantity(text.into()));
        assert_eq!(
            ["1", "100m", "0.5", "64Mi", "1k", "1e3", "1500u", "-2", "1.5Gi"].map(of),
            [1000, 100, 500, 67_108_864_000, 1_000_000, 1_000_000, 2, -2000, 1_610_612_736_000]
        );
    }
}
