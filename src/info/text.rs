//! The lines of INFO.

use std::fmt::{Display, Write};

/// A reply under way.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// Starts a section.
    pub fn heading(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.push(format_args!("# {title}\r\n"));
    }

    /// `name:value`
    pub fn line(&mut self, name: &str, value: impl Display) {
        self.push(format_args!("{name}:{value}\r\n"));
    }

    /// Several lines.
    pub fn lines<V: Display>(&mut self, lines: &[(&str, V)]) {
        lines.iter().for_each(|(name, value)| self.line(name, value));
    }

    /// Lines of facts that are always zero here.
    pub fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.line(name, 0));
    }

    /// A number with two decimals.
    pub fn ratio(&mut self, name: &str, value: f64) {
        self.line(name, format_args!("{value:.2}"));
    }

    /// A size, and the same for people.
    pub fn bytes(&mut self, name: &str, bytes: u64) {
        self.line(name, bytes);
        self.push(format_args!("{name}_human:{}\r\n", human(bytes)));
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a String takes everything");
    }

    /// The reply.
    pub fn finish(self) -> String {
        self.0
    }
}

/// A size with the largest unit that leaves it at 1 or more: `1.50K`.
pub fn human(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    let amount = bytes as f64 / (1u64 << (10 * power)) as f64;
    format!("{amount:.2}{}", UNITS[power - 1])
}

/// A share in percent, with two decimals; of nothing it is 0.
pub fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}%", 100.0 * ratio(part, whole))
}

/// A quotient; 0 when there is nothing to divide by.
pub fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_their_unit() {
        let sizes = [0, 1023, 1024, 911_416, 13_934_592, 25_276_514_304, u64::MAX];
        let expected = ["0B", "1023B", "1.00K", "890.05K", "13.29M", "23.54G", "16.00E"];
        assert_eq!(sizes.map(human), expected);
    }

    #[test]
    fn sections_are_parted_by_an_empty_line() {
        let mut text = Text::default();
        text.heading("One");
        text.line("a", 1);
        text.heading("Two");
        text.ratio("b", 1.234);
        text.bytes("c", 2048);
        let expected = "# One\r\na:1\r\n\r\n# Two\r\nb:1.23\r\nc:2048\r\nc_human:2.00K\r\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn nothing_of_nothing_is_zero() {
        assert_eq!(percent(0, 0), "0.00%");
        assert_eq!(percent(1, 4), "25.00%");
    }
}
