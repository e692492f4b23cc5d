//! What a directive is: its name, the values it takes and who may change it. Pure.

/// Flags of a directive. Bits.
pub mod flag {
    /// Fixed at start.
    pub const IMMUTABLE: u8 = 1 << 0;
    /// CONFIG SET needs `enable-protected-configs`.
    pub const PROTECTED: u8 = 1 << 1;
    /// Known from Redis, without a meaning here.
    pub const INERT: u8 = 1 << 2;
    /// Several lines of a file add up.
    pub const ADDS_UP: u8 = 1 << 3;
    /// Not to be shown.
    pub const SENSITIVE: u8 = 1 << 4;
}

/// The values that a directive takes. They are kept as text in one canonical form.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// An integer between two others.
    Integer(i64, i64),
    /// An integer from 0 on, which is moved between two others.
    Clamped(i64, i64),
    /// A power of two up to this, or 0.
    PowerOfTwo(i64),
    /// Octal digits, as of file modes.
    Octal,
    /// Bytes between two sizes; `1kb`, `1gb` and the like are understood.
    Bytes(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// How a signal ends the server: some of these words, the first of which stands for none.
    Shutdown(&'static [&'static str]),
    /// One word or quoted text.
    Text,
    /// Any number of words.
    Words,
    /// Pairs of seconds and changes, or nothing.
    Save,
    /// Classes with three limits each.
    OutputLimits,
}

/// One directive.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Name, in lower case with dashes.
    pub name: &'static str,
    /// An older name, or "".
    pub alias: &'static str,
    /// Values.
    pub kind: Kind,
    /// The value when nobody gives one, in canonical form.
    pub default: &'static str,
    /// [`flag`] bits.
    pub flags: u8,
    /// One line for `--help`.
    pub help: &'static str,
}

impl Directive {
    /// Whether this flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The canonical form of what somebody wrote, given the value in force.
    ///
    /// # Errors
    /// What is wrong, in Redis's words.
    pub fn parse(&self, current: &str, words: &[String]) -> Result<String, String> {
        match self.kind {
            Kind::Words => return Ok(words.join(" ").trim().to_string()),
            Kind::Save => return save(words),
            Kind::Shutdown(known) => return shutdown(words, known),
            Kind::OutputLimits => return output_limits(current, words),
            _ => {}
        }
        let [word] = words else {
            return Err("wrong number of arguments".into());
        };
        match self.kind {
            Kind::Bool => {
                one_of(word, &["yes", "no"]).ok_or_else(|| "argument must be 'yes' or 'no'".into())
            }
            Kind::Integer(min, max) => integer(word, min, max),
            Kind::Clamped(min, max) => {
                let value = integer(word, 0, i32::MAX.into())?;
                Ok(value.parse().map_or(value, |number: i64| number.clamp(min, max).to_string()))
            }
            Kind::PowerOfTwo(max) => {
                let value = integer(word, 0, max)?;
                match value.parse::<u64>() {
                    Ok(number) if number == 0 || number.is_power_of_two() => Ok(value),
                    _ => Err("argument must be a power of two or 0".into()),
                }
            }
            Kind::Octal => u32::from_str_radix(word, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .map(|mode| format!("{mode:o}"))
                .ok_or_else(|| "argument couldn't be parsed into an integer".into()),
            Kind::Bytes(min, max) => bytes(word, min, max),
            Kind::OneOf(words) => one_of(word, words).ok_or_else(|| not_one_of(words)),
            _ => Ok(word.clone()),
        }
    }
}

fn one_of(word: &str, words: &[&str]) -> Option<String> {
    let mut words = words.iter();
    let found = words.find(|candidate| candidate.eq_ignore_ascii_case(word));
    found.map(|found| found.to_string())
}

fn not_one_of(words: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

fn shutdown(words: &[String], known: &[&str]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    let asked: Option<Vec<String>> = words.iter().map(|word| one_of(word, known)).collect();
    let asked = asked.filter(|asked| !asked.is_empty()).ok_or_else(|| not_one_of(known))?;
    let is_asked = |word: &str| asked.iter().any(|asked| asked == word);
    if is_asked("save") && is_asked("nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    let kept: Vec<&str> = known[1..].iter().copied().filter(|word| is_asked(word)).collect();
    Ok(if kept.is_empty() { known[0].into() } else { kept.join(" ") })
}

fn integer(word: &str, min: i64, max: i64) -> Result<String, String> {
    let value: i64 = word.parse().map_err(|_| "argument couldn't be parsed into an integer")?;
    if value < min || value > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(value.to_string())
}

fn bytes(word: &str, min: u64, max: u64) -> Result<String, String> {
    let value = parse_bytes(word).ok_or("argument must be a memory value")?;
    if value < min || value > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(value.to_string())
}

/// A size as Redis writes it: digits and a unit, `k` for 1000 and `kb` for 1024.
pub fn parse_bytes(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match word[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    word[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

fn save(words: &[String]) -> Result<String, String> {
    let invalid = || "Invalid save parameters".to_string();
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    if !words.len().is_multiple_of(2) {
        return Err(invalid());
    }
    for pair in words.chunks(2) {
        let seconds: i64 = pair[0].parse().map_err(|_| invalid())?;
        let changes: i64 = pair[1].parse().map_err(|_| invalid())?;
        if seconds < 1 || changes < 0 {
            return Err(invalid());
        }
    }
    Ok(words.join(" "))
}

fn output_limits(current: &str, words: &[String]) -> Result<String, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits: Vec<String> = current.split_whitespace().map(String::from).collect();
    for class in words.chunks(4) {
        let name = match class[0].to_ascii_lowercase().as_str() {
            "replica" | "slave" => "slave",
            "normal" => "normal",
            "pubsub" => "pubsub",
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        let invalid = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let hard = parse_bytes(class[1]).ok_or(invalid)?;
        let soft = parse_bytes(class[2]).ok_or(invalid)?;
        let seconds: u32 = class[3].parse().map_err(|_| invalid)?;
        let at = limits.iter().position(|word| word == name).ok_or(invalid)?;
        limits.splice(at + 1..at + 4, [hard.to_string(), soft.to_string(), seconds.to_string()]);
    }
    Ok(limits.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHUTDOWN: &[&str] = &["default", "save", "nosave", "now", "force"];

    fn parse(kind: Kind, current: &str, words: &[&str]) -> Result<String, String> {
        let directive = Directive { name: "x", alias: "", kind, default: "", flags: 0, help: "" };
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        directive.parse(current, &words)
    }

    #[test]
    fn values_take_one_form_or_say_what_is_wrong() {
        let limits = "normal 0 0 0 slave 1 2 3 pubsub 4 5 6";
        let cases: &[(Kind, &[&str], Result<&str, &str>)] = &[
            (Kind::Bool, &["YES"], Ok("yes")),
            (Kind::Bool, &["1"], Err("argument must be 'yes' or 'no'")),
            (Kind::Integer(0, 9), &["7"], Ok("7")),
            (Kind::Integer(0, 9), &["10"], Err("argument must be between 0 and 9 inclusive")),
            (Kind::Integer(0, 9), &["x"], Err("argument couldn't be parsed into an integer")),
            (Kind::Integer(0, 9), &["1", "2"], Err("wrong number of arguments")),
            (Kind::Clamped(1, 9), &["0"], Ok("1")),
            (Kind::Clamped(1, 9), &["10"], Ok("9")),
            (
                Kind::Clamped(1, 9),
                &["-1"],
                Err("argument must be between 0 and 2147483647 inclusive"),
            ),
            (Kind::Shutdown(SHUTDOWN), &["force nosave", "NOW"], Ok("nosave now force")),
            (Kind::Shutdown(SHUTDOWN), &["default", "now"], Ok("now")),
            (Kind::Shutdown(SHUTDOWN), &["Default"], Ok("default")),
            (
                Kind::Shutdown(SHUTDOWN),
                &["save nosave"],
                Err("shutdown options SAVE and NOSAVE can't be used simultaneously"),
            ),
            (
                Kind::Shutdown(&["a", "b"]),
                &[""],
                Err("argument(s) must be one of the following: a, b"),
            ),
            (Kind::PowerOfTwo(8), &["8"], Ok("8")),
            (Kind::PowerOfTwo(8), &["0"], Ok("0")),
            (Kind::PowerOfTwo(8), &["3"], Err("argument must be a power of two or 0")),
            (Kind::Octal, &["700"], Ok("700")),
            (Kind::Bytes(0, u64::MAX), &["2Gb"], Ok("2147483648")),
            (Kind::Bytes(0, u64::MAX), &["-1"], Err("argument must be a memory value")),
            (Kind::Bytes(0, u64::MAX), &["99999999999gb"], Err("argument must be a memory value")),
            (Kind::Save, &["900 1 300", "10"], Ok("900 1 300 10")),
            (Kind::Save, &[""], Ok("")),
            (Kind::Save, &["0 1"], Err("Invalid save parameters")),
            (
                Kind::OutputLimits,
                &["replica", "1mb", "0", "9"],
                Ok("normal 0 0 0 slave 1048576 0 9 pubsub 4 5 6"),
            ),
        ];
        for (kind, words, expected) in cases {
            let expected = expected.map(String::from).map_err(String::from);
            assert_eq!(parse(*kind, limits, words), expected, "{kind:?} {words:?}");
        }
    }
}
