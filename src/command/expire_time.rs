//! Expiry arguments: seconds or milliseconds, relative or absolute, to a deadline in Unix
//! milliseconds; and the option words that SET, MSETEX and GETEX share.

use super::args::Args;
use super::comparison::Comparison;
use super::number::integer;
use super::spec::Failure;

/// Unit of a time argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// `ERR invalid expire time in '<command>' command`
pub fn invalid_expire_time(command: &str) -> Failure {
    Failure::Text(format!("ERR invalid expire time in '{command}' command").into())
}

/// `amount` units after `base_ms` (0 for absolute times), in milliseconds; none on overflow.
pub fn absolute_ms(amount: i64, unit: TimeUnit, base_ms: u64) -> Option<i64> {
    let amount_ms = match unit {
        TimeUnit::Seconds => amount.checked_mul(1000)?,
        TimeUnit::Milliseconds => amount,
    };
    amount_ms.checked_add(i64::try_from(base_ms).ok()?)
}

/// The deadline that a positive time argument means, in Unix milliseconds.
pub fn deadline_ms(
    argument: &[u8],
    unit: TimeUnit,
    base_ms: u64,
    command: &str,
) -> Result<u64, Failure> {
    let amount = integer(argument)?;
    if amount <= 0 {
        return Err(invalid_expire_time(command));
    }
    absolute_ms(amount, unit, base_ms)
        .and_then(|at| u64::try_from(at).ok())
        .ok_or_else(|| invalid_expire_time(command))
}

/// What a command asks for about a key's deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expiry<'a> {
    /// Nothing was said.
    #[default]
    Unstated,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// EX, PX, EXAT or PXAT with its argument, not parsed yet.
    At {
        /// The argument.
        argument: &'a [u8],
        /// Seconds for EX and EXAT.
        unit: TimeUnit,
        /// EX and PX count from now.
        relative: bool,
    },
}

impl<'a> Expiry<'a> {
    /// The word EX, PX, EXAT or PXAT at `index` with its argument, and how many arguments that
    /// takes.
    pub fn at(args: &Args<'a>, index: usize) -> Option<(Expiry<'a>, usize)> {
        let words = [
            ("EX", TimeUnit::Seconds, true),
            ("PX", TimeUnit::Milliseconds, true),
            ("EXAT", TimeUnit::Seconds, false),
            ("PXAT", TimeUnit::Milliseconds, false),
        ];
        let (_, unit, relative) = words.into_iter().find(|word| args.is(index, word.0))?;
        (index + 1 < args.len()).then(|| {
            let argument = args.get(index + 1);
            let expiry = Expiry::At { argument, unit, relative };
            (expiry, 2)
        })
    }

    /// The stated deadline in Unix milliseconds, if one was stated.
    pub fn resolve(&self, now_ms: u64, command: &str) -> Result<Option<u64>, Failure> {
        let Expiry::At { argument, unit, relative } = *self else {
            return Ok(None);
        };
        let base_ms = if relative { now_ms } else { 0 };
        deadline_ms(argument, unit, base_ms, command).map(Some)
    }

    /// Whether `self` may be said after `earlier`: a word may repeat itself, not meet another one.
    fn agrees_with(&self, earlier: &Expiry<'_>) -> bool {
        match (earlier, self) {
            (Expiry::Unstated, _) => true,
            (
                Expiry::At { unit, relative, .. },
                Expiry::At { unit: new_unit, relative: new_relative, .. },
            ) => unit == new_unit && relative == new_relative,
            (earlier, new) => earlier == new,
        }
    }
}

/// When SET stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition<'a> {
    /// Always.
    #[default]
    Always,
    /// NX: only a key that is not there.
    Absent,
    /// XX: only a key that is there.
    Present,
    /// IFEQ, IFNE, IFDEQ or IFDNE: only over such a string.
    If(Comparison<'a>),
}

impl Condition<'_> {
    /// Whether `self` may be said after `earlier`: a word may repeat itself, not meet another one.
    fn agrees_with(&self, earlier: &Condition<'_>) -> bool {
        match (earlier, self) {
            (Condition::Always, _) => true,
            (Condition::If(earlier), Condition::If(new)) => new.is_like(earlier),
            (earlier, new) => earlier == new,
        }
    }
}

/// Which words [`parse_options`] knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionForm {
    /// SET: NX, XX, the comparisons, GET, KEEPTTL and the times.
    Set,
    /// MSETEX: NX, XX, KEEPTTL and the times.
    MSetEx,
    /// GETEX: PERSIST and the times.
    GetEx,
}

/// The options of SET, MSETEX or GETEX.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StringOptions<'a> {
    /// When it stores.
    pub condition: Condition<'a>,
    /// GET
    pub get: bool,
    /// The deadline.
    pub expiry: Expiry<'a>,
}

/// Reads options from argument `from` to the end. Times are not parsed: a syntax error behind a bad
/// number wins over it.
pub fn parse_options<'a>(
    args: &Args<'a>,
    from: usize,
    form: OptionForm,
) -> Result<StringOptions<'a>, Failure> {
    let mut options = StringOptions::default();
    let mut index = from;
    while index < args.len() {
        if form == OptionForm::Set && args.is(index, "GET") {
            options.get = true;
            index += 1;
        } else if let Some((condition, taken)) = parse_condition(args, index, form) {
            if !condition.agrees_with(&options.condition) {
                return Err(Failure::Syntax);
            }
            options.condition = condition;
            index += taken;
        } else {
            let (expiry, taken) = parse_expiry(args, index, form).ok_or(Failure::Syntax)?;
            if !expiry.agrees_with(&options.expiry) {
                return Err(Failure::Syntax);
            }
            options.expiry = expiry;
            index += taken;
        }
    }
    Ok(options)
}

/// The condition at `index`, and how many arguments it takes.
fn parse_condition<'a>(
    args: &Args<'a>,
    index: usize,
    form: OptionForm,
) -> Option<(Condition<'a>, usize)> {
    if form == OptionForm::GetEx {
        return None;
    }
    if args.is(index, "NX") {
        return Some((Condition::Absent, 1));
    }
    if args.is(index, "XX") {
        return Some((Condition::Present, 1));
    }
    let comparison = Comparison::at(args, index).filter(|_| form == OptionForm::Set)?;
    Some((Condition::If(comparison), 2))
}

/// The expiry option at `index`, and how many arguments it takes.
fn parse_expiry<'a>(
    args: &Args<'a>,
    index: usize,
    form: OptionForm,
) -> Option<(Expiry<'a>, usize)> {
    match form {
        OptionForm::Set | OptionForm::MSetEx if args.is(index, "KEEPTTL") => {
            return Some((Expiry::Keep, 1));
        }
        OptionForm::GetEx if args.is(index, "PERSIST") => return Some((Expiry::Persist, 1)),
        _ => {}
    }
    Expiry::at(args, index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds_after_the_base() {
        assert_eq!(deadline_ms(b"10", TimeUnit::Seconds, 5, "set"), Ok(10_005));
        assert_eq!(deadline_ms(b"10", TimeUnit::Milliseconds, 0, "set"), Ok(10));
        assert_eq!(absolute_ms(-1, TimeUnit::Seconds, 5), Some(-995));
    }

    #[test]
    fn times_that_do_not_fit_are_refused() {
        let refused = Err(invalid_expire_time("setex"));
        for text in ["0", "-1", "9223372036854775807", "9223372036854775"] {
            let found = deadline_ms(text.as_bytes(), TimeUnit::Seconds, 808, "setex");
            assert_eq!(found, refused, "{text}");
        }
        assert_eq!(
            deadline_ms(b"9223372036854775807", TimeUnit::Milliseconds, 1, "setex"),
            refused
        );
        assert_eq!(
            deadline_ms(b"9223372036854775", TimeUnit::Seconds, 807, "setex"),
            Ok(i64::MAX as u64)
        );
    }
}
