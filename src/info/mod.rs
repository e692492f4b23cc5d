//! INFO: what is known of the server, as lines in Redis's sections.
//!
//! [`Facts`] is gathered once for a reply; a section is a function from facts to lines. Field names
//! are those of Redis 7.2 wherever the fact exists here. Facts of parts that Firn does not have
//! (replicas, scripts, modules) are there where tools read them, and say so: zero.

pub mod commands;
pub mod data;
pub mod facts;
pub mod firn;
pub mod host;
pub mod memory;
pub mod server;
pub mod text;

use facts::Facts;
use text::Text;

/// The version of Redis whose behaviour this server has.
pub const REDIS_VERSION: &str = "7.2.4";
/// The version of the server itself.
pub const FIRN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// One section of INFO.
struct Section {
    /// As in `INFO <name>`.
    name: &'static str,
    /// As in the heading.
    title: &'static str,
    /// Whether it is part of `INFO` alone.
    by_default: bool,
    write: fn(&Facts<'_>, &mut Text),
}

const fn section(
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&Facts<'_>, &mut Text),
) -> Section {
    Section { name, title, by_default, write }
}

/// All sections, in the order of a reply.
const SECTIONS: &[Section] = &[
    section("server", "Server", true, server::server),
    section("clients", "Clients", true, server::clients),
    section("memory", "Memory", true, memory::memory),
    section("persistence", "Persistence", true, data::persistence),
    section("stats", "Stats", true, server::stats),
    section("replication", "Replication", true, data::replication),
    section("cpu", "CPU", true, server::cpu),
    section("modules", "Modules", true, |_, _| ()),
    section("commandstats", "Commandstats", false, commands::command_stats),
    section("errorstats", "Errorstats", true, commands::error_stats),
    section("latencystats", "Latencystats", false, commands::latency_stats),
    section("cluster", "Cluster", true, data::cluster),
    section("keyspace", "Keyspace", true, data::keyspace),
    section("firn", "Firn", true, firn::firn),
];

/// The sections that the words of a call ask for; a word that names none is passed over.
pub struct Selection([bool; SECTIONS.len()]);

impl Selection {
    /// The sections of these words.
    pub fn new<'w>(words: impl Iterator<Item = &'w [u8]>) -> Selection {
        let mut words = words.peekable();
        let mut selected = SECTIONS.iter().map(|section| section.by_default);
        let defaults = std::array::from_fn(|_| selected.next().unwrap_or_default());
        if words.peek().is_none() {
            return Selection(defaults);
        }
        let mut chosen = [false; SECTIONS.len()];
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"all" | b"everything" => chosen = [true; SECTIONS.len()],
                b"default" => (0..chosen.len()).for_each(|at| chosen[at] |= defaults[at]),
                name => {
                    let found = SECTIONS.iter().position(|s| s.name.as_bytes() == name);
                    found.into_iter().for_each(|at| chosen[at] = true);
                }
            }
        }
        Selection(chosen)
    }

    fn sections(&self) -> impl Iterator<Item = &'static Section> {
        let chosen = SECTIONS.iter().zip(self.0);
        chosen.filter(|(_, chosen)| *chosen).map(|(section, _)| section)
    }

    /// Whether the counts of keys are needed, for which the whole keyspace is locked.
    pub fn counts_keys(&self) -> bool {
        self.sections().any(|section| section.name == "keyspace")
    }
}

/// The reply of INFO.
pub fn report(selection: &Selection, facts: &Facts<'_>) -> String {
    let mut text = Text::default();
    for section in selection.sections() {
        text.heading(section.title);
        (section.write)(facts, &mut text);
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let selection = Selection::new(words.iter().map(|word| word.as_bytes()));
        selection.sections().map(|section| section.name).collect()
    }

    #[test]
    fn no_word_means_the_default_sections() {
        assert_eq!(names(&[]), names(&["default"]));
        assert!(names(&[]).contains(&"keyspace"));
        assert!(!names(&[]).contains(&"commandstats"));
    }

    #[test]
    fn words_name_sections_in_any_case_and_order() {
        assert_eq!(names(&["KEYSPACE", "server", "Server"]), ["server", "keyspace"]);
        assert_eq!(names(&["nothing"]), [""; 0]);
        assert_eq!(names(&["ALL"]).len(), SECTIONS.len());
        assert_eq!(names(&["everything"]), names(&["all"]));
        assert_eq!(names(&["default", "latencystats"]).len(), names(&[]).len() + 1);
    }
}
