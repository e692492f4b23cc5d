//! HSETEX: fields that are set together with their deadline.

use crate::command::args::Args;
use crate::command::collection::{GoneMembers, NewItems, distinct, edit_or_delete};
use crate::command::encodings::hash;
use crate::command::expire_time::Expiry;
use crate::command::number::parse_integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag, quoted,
};
use crate::types::ValueKind;
use crate::value::item::Item;

use super::expiry::deadline_ms;
use super::value::{Before, hash_to_change};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "hsetex",
        arity: -6,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: &[first_key(RW | UPDATE)],
        group: Group::Hash,
        since: "8.0.0",
        complexity: "O(N) for N fields that are set.",
        summary: "Sets fields and when they end, if a condition holds for all of them.",
        args: &[
            key_arg(),
            one_of("condition", &[word("fnx", "FNX"), word("fxx", "FXX")]).optional(),
            one_of(
                "expiration",
                &[
                    Arg::new("seconds", ArgKind::Integer).behind("EX"),
                    Arg::new("milliseconds", ArgKind::Integer).behind("PX"),
                    Arg::new("unix-time-seconds", ArgKind::UnixTime).behind("EXAT"),
                    Arg::new("unix-time-milliseconds", ArgKind::UnixTime).behind("PXAT"),
                    word("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
            block(
                "fields",
                &[
                    Arg::new("numfields", ArgKind::Integer),
                    block(
                        "data",
                        &[Arg::new("field", ArgKind::String), Arg::new("value", ArgKind::String)],
                    )
                    .multiple(),
                ],
            )
            .behind("FIELDS"),
        ],
        length_after: Some(GROWS),
        ..Spec::EMPTY
    },
    run: hsetex,
}];

/// What a call asks for.
struct Options {
    /// FXX (true): all fields must be there. FNX: none may.
    must_be_there: Option<bool>,
    keeps_deadlines: bool,
    deadline_ms: Option<u64>,
    /// Index of the first field.
    fields_at: usize,
}

fn wrong_arity() -> Failure {
    Failure::text("ERR wrong number of arguments for 'hsetex' command")
}

impl Options {
    /// Reads the words in front of FIELDS, in order: the first mistake is reported.
    fn parse(args: &Args<'_>, now_ms: u64) -> Result<Options, Failure> {
        let mut options = Options {
            must_be_there: None,
            keeps_deadlines: false,
            deadline_ms: None,
            fields_at: 0,
        };
        let mut index = 2;
        while index < args.len() && !args.is(index, "FIELDS") {
            index += options.parse_word(args, index, now_ms)?;
        }
        if index + 3 >= args.len() {
            return Err(wrong_arity());
        }
        let number = parse_integer(args.get(index + 1));
        let number = number.filter(|number| (1..=i64::from(i32::MAX)).contains(number));
        let number = number.ok_or(Failure::text("ERR invalid number of fields"))?;
        options.fields_at = index + 2;
        match args.len() - options.fields_at {
            left if left as i64 == 2 * number => Ok(options),
            _ => Err(wrong_arity()),
        }
    }

    /// Reads the word at `index`; how many arguments it takes.
    fn parse_word(&mut self, args: &Args<'_>, index: usize, now_ms: u64) -> Result<usize, Failure> {
        if args.is(index, "FNX") || args.is(index, "FXX") {
            let is_second = self.must_be_there.replace(args.is(index, "FXX")).is_some();
            return match is_second {
                false => Ok(1),
                true => Err(Failure::text("ERR Only one of FXX or FNX arguments can be specified")),
            };
        }
        let is_time = ["EX", "PX", "EXAT", "PXAT"].iter().any(|word| args.is(index, word));
        if !is_time && !args.is(index, "KEEPTTL") {
            let word = quoted(args.get(index));
            return Err(Failure::quoting(&[b"ERR unknown argument: ", word]));
        }
        if self.keeps_deadlines || self.deadline_ms.is_some() {
            return Err(Failure::text(
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        self.keeps_deadlines = !is_time;
        if let Some((Expiry::At { argument, unit, relative }, taken)) = Expiry::at(args, index) {
            let base_ms = if relative { now_ms } else { 0 };
            self.deadline_ms = Some(deadline_ms(argument, unit, base_ms, "hsetex")?);
            return Ok(taken);
        }
        match is_time {
            true => Err(Failure::text("ERR missing expire time")),
            false => Ok(1),
        }
    }
}

fn hsetex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let now_ms = call.unit.now_ms();
    let options = Options::parse(args, now_ms)?;
    let key = call.unit.key(call.db, args.get(1));
    let known = hash_to_change(call.unit, &key)?;
    let before = Before::of(known.as_ref());
    let indexes = (options.fields_at..args.len()).step_by(2);
    let live = |field: &[u8]| known.and_then(|hash| hash.get(field));
    if let Some(wanted) = options.must_be_there
        && indexes.clone().any(|index| live(args.get(index)).is_some() != wanted)
    {
        call.reply.integer(0);
        return Ok(());
    }
    let fields = distinct(indexes.clone().map(|index| args.get(index)));
    let stands = |field: &&&[u8]| known.is_some_and(|hash| hash.members().get(field).is_some());
    let standing = fields.iter().filter(stands);
    let is_past = options.deadline_ms.is_some_and(|at| at <= now_ms);
    let with_deadlines = |shape: u8| match options.deadline_ms {
        Some(_) if shape == ValueKind::Hash.shape(hash::LISTPACK) => {
            ValueKind::Hash.shape(hash::LISTPACK_EX)
        }
        _ => shape,
    };
    if is_past {
        let (mut gone, mut count) = (GoneMembers::default(), 0);
        for field in standing {
            gone.push(field);
            count += 1;
        }
        call.unit.count_expired_fields(count);
        let shape = with_deadlines(ValueKind::Hash.shape(before.encoding));
        edit_or_delete(call.unit, &key, shape, gone.edit(), (before.len, count));
    } else {
        let new_count = (fields.len() - standing.count()) as u64;
        let (mut items, mut longest) = (NewItems::default(), 0);
        for index in indexes {
            let mut item = Item::new(args.get(index), args.get(index + 1));
            item.deadline_ms = match options.keeps_deadlines {
                true => live(item.member).and_then(|item| item.deadline_ms),
                false => options.deadline_ms,
            };
            longest = longest.max(item.member.len()).max(item.payload.len());
            items.push(item);
        }
        let pairs = (args.len() - options.fields_at) as u64 / 2;
        let len = (before.len + new_count).max(pairs);
        let shape = with_deadlines(before.shape_with(call.encodings, len, longest));
        call.unit.edit(&key, shape, items.edit());
    }
    call.reply.integer(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn fields_are_set_with_their_deadline() {
        let mut unit = unit();
        let set = |fields: &str| ["HSETEX h ", fields].concat();
        let mut run = |text: &str| run(&mut unit, &text.split(' ').collect::<Vec<_>>());
        assert_eq!(run(&set("EX 10 FIELDS 2 a 1 b 2")), ":1");
        assert_eq!(run("HTTL h FIELDS 2 a b"), "*2 :10 :10");
        assert_eq!(run("OBJECT ENCODING h"), "$10 listpackex");
        assert_eq!(run(&set("KEEPTTL FIELDS 2 a 3 c 4")), ":1");
        assert_eq!(run("HTTL h FIELDS 2 a c"), "*2 :10 :-1");
        assert_eq!(run(&set("FIELDS 2 a 5 a 6")), ":1");
        assert_eq!(run("HTTL h FIELDS 2 a b"), "*2 :-1 :10");
        assert_eq!(run("HVALS h"), "*3 $1 6 $1 2 $1 4");
        assert_eq!(run(&set("PXAT 1 FIELDS 2 a 7 x 8")), ":1");
        assert_eq!(run("HKEYS h"), "*2 $1 b $1 c");
        assert_eq!(run(&set("EX 0 FIELDS 2 b 7 c 8")), ":1");
        assert_eq!(run("EXISTS h"), ":0");
        assert_eq!(run(&set("EX 0 FIELDS 1 b 7")), ":1");
        assert_eq!(run("EXISTS h"), ":0");
        assert_eq!(run("HSETEX p FIELDS 1 b 7"), ":1");
        assert_eq!(run("OBJECT ENCODING p"), "$8 listpack");
    }

    #[test]
    fn conditions_hold_for_all_fields_or_nothing_is_set() {
        let mut unit = unit();
        let mut run = |text: &str| run(&mut unit, &text.split(' ').collect::<Vec<_>>());
        assert_eq!(run("HSETEX h FXX FIELDS 1 a 1"), ":0");
        assert_eq!(run("HSETEX h FNX FIELDS 1 a 1"), ":1");
        assert_eq!(run("HSETEX h FNX FIELDS 2 b 2 a 2"), ":0");
        assert_eq!(run("HSETEX h FXX FIELDS 2 a 2 b 2"), ":0");
        assert_eq!(run("HSETEX h fxx EX 5 FIELDS 1 a 3"), ":1");
        assert_eq!(run("HGETALL h"), "*2 $1 a $1 3");
    }

    #[test]
    fn the_first_mistake_is_reported_before_the_key_is_looked_at() {
        let mut unit = unit();
        let mut run = |text: &str| run(&mut unit, &text.split(' ').collect::<Vec<_>>());
        run("SET t x");
        let arity = "-ERR wrong number of arguments for 'hsetex' command";
        let condition = "-ERR Only one of FXX or FNX arguments can be specified";
        let time = "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
        for (call, reply) in [
            ("HSETEX t FIELDS 2 a 1", arity),
            ("HSETEX t FIELDS 1 a 1 b", arity),
            ("HSETEX t FNX KEEPTTL FIELDS 1", arity),
            ("HSETEX t FIELDS 0 a 1", "-ERR invalid number of fields"),
            ("HSETEX t FIELDS 2147483648 a 1", "-ERR invalid number of fields"),
            ("HSETEX t FNX FXX FIELDS 1 a 1", condition),
            ("HSETEX t EX 10 KEEPTTL FIELDS 1 a 1", time),
            ("HSETEX t KEEPTTL EX x FIELDS 1 a 1", time),
            ("HSETEX t FOO FIELDS 1 a 1", "-ERR unknown argument: FOO"),
            ("HSETEX t EX -1 FIELDS 1 a 1", "-ERR invalid expire time, must be >= 0"),
            ("HSETEX t EX x FIELDS 1 a 1", "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(run(call), reply, "{call}");
        }
        assert!(run("HSETEX t FIELDS 1 a 1").starts_with("-WRONGTYPE"));
    }
}
