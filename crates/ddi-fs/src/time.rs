//! Times as people and programs read them.

/// Seconds since 1970 as `2026-11-21T12:00:00Z`.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "64 bits in 128: nothing here multiplies by more than 2¹⁷"
)]
pub(crate) fn utc(seconds: i64) -> String {
    let seconds = i128::from(seconds);
    let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // days from 1 March of the year 0, in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms")
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i128::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
            (i64::MAX, "292277026596-12-04T15:30:07Z"),
            (i64::MIN, "-292277022657-01-27T08:29:52Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
