//! Short constructors for the rows of the command table: key specifications and documented
//! arguments.

use super::spec::{Arg, ArgKind, BeginSearch, FindKeys, KeySpec};

/// Keys from argument `index` to `last` (relative to it, or -1 for the last argument), every
/// `step`.
pub const fn keys_at(index: i32, last: i32, step: i32, flags: u32) -> KeySpec {
    KeySpec {
        begin: BeginSearch::Index(index),
        find: FindKeys::Range { last, step, limit: 0 },
        flags,
        notes: "",
    }
}

/// One key, the first argument.
pub const fn first_key(flags: u32) -> KeySpec {
    keys_at(1, 0, 1, flags)
}

/// Keys behind their number, which is argument `index`.
pub const fn counted_keys(index: i32, flags: u32) -> KeySpec {
    KeySpec {
        begin: BeginSearch::Index(index),
        find: FindKeys::KeyNum { count: 0, first: 1, step: 1 },
        flags,
        notes: "",
    }
}

impl KeySpec {
    /// The same with a note for COMMAND INFO.
    pub const fn note(self, notes: &'static str) -> KeySpec {
        KeySpec { notes, ..self }
    }
}

/// The argument `key`, of the first key specification.
pub const fn key_arg() -> Arg {
    named_key("key", 0)
}

/// A key argument of key specification `spec`.
pub const fn named_key(name: &'static str, spec: u8) -> Arg {
    Arg { key_spec: Some(spec), ..Arg::new(name, ArgKind::Key) }
}

/// A bare word of the syntax.
pub const fn word(name: &'static str, token: &'static str) -> Arg {
    Arg::new(name, ArgKind::PureToken).behind(token)
}

/// Arguments of which one is given.
pub const fn one_of(name: &'static str, inner: &'static [Arg]) -> Arg {
    Arg { inner, ..Arg::new(name, ArgKind::OneOf) }
}

/// Arguments that are given together.
pub const fn block(name: &'static str, inner: &'static [Arg]) -> Arg {
    Arg { inner, ..Arg::new(name, ArgKind::Block) }
}

impl Arg {
    /// The same behind a token.
    pub const fn behind(self, token: &'static str) -> Arg {
        Arg { token, ..self }
    }

    /// The same under a name that is displayed.
    pub const fn shown_as(self, display: &'static str) -> Arg {
        Arg { display, ..self }
    }

    /// The same, but it may be left out.
    pub const fn optional(self) -> Arg {
        Arg { optional: true, ..self }
    }

    /// The same, but it may be repeated.
    pub const fn multiple(self) -> Arg {
        Arg { multiple: true, ..self }
    }

    /// The same with the version that brought it.
    pub const fn since(self, since: &'static str) -> Arg {
        Arg { since, ..self }
    }
}
