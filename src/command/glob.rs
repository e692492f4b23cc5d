//! Glob patterns, byte for byte as Redis matches them: KEYS, SCAN, CONFIG GET, COMMAND LIST.
//!
//! `*` is any run of bytes, `?` one byte, `[a-c]` and `[^a-c]` a class, `\` takes the next byte as
//! it is. The odd edges are Redis's too: a class that is not closed ends with the pattern, ranges
//! compare signed bytes in either order, an escape in a class keeps its case, and no pattern but
//! the empty one matches the empty string.

/// Whether all of `text` matches `pattern`; `nocase` ignores the case of ASCII letters.
///
/// Takes time in proportion to the product of both lengths at worst: when the bytes behind a `*` do
/// not match, only the latest `*` has to take one byte more. What an earlier one could gain by
/// taking more, the later one can take as well.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut from) = (0, 0);
    let mut retry = None;
    while from < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, from + 1));
            continue;
        }
        if let Some(next) = step(pattern, at, text[from], nocase) {
            (at, from) = (next, from + 1);
            continue;
        }
        let Some((behind_star, later)) = retry else {
            return false;
        };
        (at, from) = (behind_star, later);
        retry = Some((behind_star, later + 1));
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Matches the element at `at`, which is no `*`, against one byte; where the next element begins.
fn step(pattern: &[u8], at: usize, byte: u8, nocase: bool) -> Option<usize> {
    let literal = match pattern.get(at)? {
        b'?' => return Some(at + 1),
        b'[' => return class(pattern, at + 1, byte, nocase),
        b'\\' if at + 1 < pattern.len() => at + 1,
        _ => at,
    };
    same(pattern[literal], byte, nocase).then_some(literal + 1)
}

/// Matches the class whose first byte behind `[` is `at`; where the next element begins.
fn class(pattern: &[u8], mut at: usize, byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                found |= in_range(low, high, byte, nocase);
                at += 3;
            }
            [one, ..] => {
                found |= same(one, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || nocase && a.eq_ignore_ascii_case(&b)
}

/// Bytes are compared as signed, as C's `char` is on the machines that Redis runs on; the ends are
/// put in order before their case is dropped.
fn in_range(low: u8, high: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| match nocase {
        true => byte.to_ascii_lowercase() as i8,
        false => byte as i8,
    };
    let (low, high) = match (low as i8) <= (high as i8) {
        true => (low, high),
        false => (high, low),
    };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An element of a parsed pattern, for the naive model.
    #[derive(Debug)]
    enum Element {
        Star,
        Any,
        One(u8),
        Class(bool, Vec<Member>),
    }

    #[derive(Debug)]
    enum Member {
        Exact(u8),
        One(u8),
        Range(u8, u8),
    }

    fn parse(pattern: &[u8]) -> Vec<Element> {
        let mut rest = pattern.iter().copied().peekable();
        let mut elements = Vec::new();
        while let Some(byte) = rest.next() {
            elements.push(match byte {
                b'*' => Element::Star,
                b'?' => Element::Any,
                b'\\' => Element::One(rest.next().unwrap_or(b'\\')),
                b'[' => {
                    let tail: Vec<u8> = rest.clone().collect();
                    let (negated, members, used) = parse_class(&tail);
                    rest.by_ref().take(used).for_each(drop);
                    Element::Class(negated, members)
                }
                byte => Element::One(byte),
            });
        }
        elements
    }

    fn parse_class(tail: &[u8]) -> (bool, Vec<Member>, usize) {
        let negated = tail.first() == Some(&b'^');
        let mut at = negated as usize;
        let mut members = Vec::new();
        while at < tail.len() {
            if tail[at] == b'\\' && at + 1 < tail.len() {
                members.push(Member::Exact(tail[at + 1]));
                at += 2;
            } else if tail[at] == b']' {
                at += 1;
                break;
            } else if at + 2 < tail.len() && tail[at + 1] == b'-' {
                members.push(Member::Range(tail[at], tail[at + 2]));
                at += 3;
            } else {
                members.push(Member::One(tail[at]));
                at += 1;
            }
        }
        (negated, members, at)
    }

    fn lower(byte: u8, nocase: bool) -> i8 {
        (if nocase { byte.to_ascii_lowercase() } else { byte }) as i8
    }

    fn model(elements: &[Element], text: &[u8], nocase: bool) -> bool {
        let Some((first, rest)) = elements.split_first() else {
            return text.is_empty();
        };
        if let Element::Star = first {
            return (0..=text.len()).any(|taken| model(rest, &text[taken..], nocase));
        }
        let Some((&byte, tail)) = text.split_first() else {
            return false;
        };
        let fits = match first {
            Element::Star => unreachable!(),
            Element::Any => true,
            Element::One(one) => lower(*one, nocase) == lower(byte, nocase),
            Element::Class(negated, members) => {
                let hit = members.iter().any(|member| match *member {
                    Member::Exact(one) => one == byte,
                    Member::One(one) => lower(one, nocase) == lower(byte, nocase),
                    Member::Range(a, b) => {
                        let (low, high) = if a as i8 <= b as i8 { (a, b) } else { (b, a) };
                        lower(low, nocase) <= lower(byte, nocase)
                            && lower(byte, nocase) <= lower(high, nocase)
                    }
                });
                hit != *negated
            }
        };
        fits && model(rest, tail, nocase)
    }

    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match text.is_empty() {
            true => pattern.is_empty(),
            false => model(&parse(pattern), text, nocase),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn agrees_with_the_naive_model(
            pattern in proptest::collection::vec(
                proptest::sample::select(&b"**??[]^\\-abcABC\xff\x00"[..]), 0..10),
            text in proptest::collection::vec(
                proptest::sample::select(&b"abcABC-]^*\\\xff\x00"[..]), 0..8),
            nocase: bool,
        ) {
            prop_assert_eq!(
                matches(&pattern, &text, nocase),
                naive(&pattern, &text, nocase),
                "pattern {:?} text {:?}", pattern, text
            );
        }
    }

    #[test]
    fn ranges_compare_signed_bytes_in_either_order() {
        // 0xff is -1: the range runs over -1, 0 and 1.
        for pattern in [&b"[\x01-\xff]"[..], b"[\xff-\x01]"] {
            for (byte, inside) in [(0xfe, false), (0xff, true), (0, true), (1, true), (2, false)] {
                assert_eq!(matches(pattern, &[byte], false), inside, "{pattern:?} {byte}");
            }
        }
        assert!(matches(b"[a-z]", b"Q", true) && !matches(b"[a-z]", b"Q", false));
    }

    #[test]
    fn elements_match_as_in_redis() {
        let yes: [(&str, &str); 14] = [
            ("h?llo", "hello"),
            ("h*llo", "hllo"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[b-a]llo", "hallo"),
            ("a\\*", "a*"),
            ("a[\\]]", "a]"),
            ("[ab", "b"),
            ("[^", "x"),
            ("\\", "\\"),
            ("a**", "a"),
            ("[a-]", "]"),
            ("*b*d", "abcbd"),
            ("", ""),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
        }
        let no: [(&str, &str); 8] = [
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*", "ab"),
            ("[", "["),
            ("*", ""),
            ("**", ""),
            ("a", "A"),
            ("*b*d", "abcbde"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes(), false), "{pattern} {text}");
        }
        assert!(matches(b"H[A-C]LLO*", b"hbllo", true));
        assert!(!matches(b"[\\A]", b"a", true));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = "a*".repeat(2000) + "b";
        let text = "a".repeat(10_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes(), false));
    }
}
