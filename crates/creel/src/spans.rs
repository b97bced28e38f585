//! Spans of time and sizes as people read them: `3m`, `2h5m`, `512Mi`; and as they type them: `90s`, `5m`.

use jiff::Timestamp;

const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// How long ago this was: the two largest units while the first is small, as kubectl does.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - since.as_second()).max(0);
    let Some(at) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else { return "0s".into() };
    let (unit, name) = UNITS[at];
    let whole = seconds / unit;
    let rest = UNITS.get(at + 1).map(|(below, name)| (seconds % unit / below, name));
    match rest {
        Some((rest, below)) if whole < 10 && rest > 0 => format!("{whole}{name}{rest}{below}"),
        _ => format!("{whole}{name}"),
    }
}

/// A size with a binary unit, rounded: `512Mi`.
pub(crate) fn size(bytes: u64) -> String {
    const NAMES: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < NAMES.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 2 && value < 10.0 && value.fract() >= 0.05);
    format!("{value:.decimals$}{}", NAMES[unit])
}

/// A span as typed: a number with `ms`, `s`, `m` or `h`; without a unit it is seconds.
pub(crate) fn parse(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wrong = || format!("`{text}` is not a span of time: write it like 90s, 5m or 1h");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor_ms = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let ms = number.checked_mul(factor_ms).filter(|ms| *ms <= 7 * 86_400_000);
    ms.map(std::time::Duration::from_millis).ok_or_else(|| format!("`{text}` is longer than seven days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_shows_its_two_largest_units_while_the_first_is_small() {
        let age_of = |seconds| age(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        let ages = [0, 59, 60, 185, 3_599, 3_600, 7_500, 86_400 * 2 + 3_600, 86_400 * 30].map(age_of);
        assert_eq!(ages, ["0s", "59s", "1m", "3m5s", "59m", "1h", "2h5m", "2d1h", "30d"]);
        assert_eq!(age(Timestamp::from_second(5).unwrap(), Timestamp::UNIX_EPOCH), "0s");
    }

    #[test]
    fn sizes_have_binary_units() {
        let sizes = [0, 1023, 1024, 512 << 20, 2 << 30, 1_610_612_736].map(size);
        assert_eq!(sizes, ["0", "1023", "1Ki", "512Mi", "2Gi", "1.5Gi"]);
    }

    #[test]
    fn a_span_is_typed_with_a_unit() {
        let ms = |text| parse(text).map(|span| span.as_millis());
        assert_eq!(
            (ms("90s"), ms("5m"), ms("250ms"), ms("7")),
            (Ok(90_000), Ok(300_000), Ok(250), Ok(7_000))
        );
        assert!(parse("soon").unwrap_err().contains("90s"));
        assert!(parse("99999999h").is_err());
    }
}
