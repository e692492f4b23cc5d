//! The directives in force, and CONFIG SET.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::directive::{Directive, flag};
use super::settings::Settings;
use super::table::{DIRECTIVES, find};
use super::{Values, rewrite};

/// Why CONFIG SET did nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetError {
    /// No directive has this name.
    Unknown(String),
    /// A value was refused.
    Refused {
        /// The directive.
        name: String,
        /// Why.
        reason: String,
    },
}

/// The directives in force.
pub struct Config {
    values: RwLock<Values>,
    settings: RwLock<Arc<Settings>>,
    version: AtomicU64,
    file: Option<PathBuf>,
}

impl Config {
    /// Directives with these values, read from `file` among others.
    pub fn new(values: Values, file: Option<PathBuf>) -> Config {
        let settings = settings_of(&values);
        Config {
            values: RwLock::new(values),
            settings: RwLock::new(Arc::new(settings)),
            version: AtomicU64::new(0),
            file,
        }
    }

    /// The file given at start.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The value of a directive.
    ///
    /// # Panics
    /// When there is no such directive.
    pub fn get(&self, name: &str) -> String {
        let index = find(name).unwrap_or_else(|| panic!("no directive {name}"));
        self.values.read().expect("a panic ends the process")[index].clone()
    }

    /// Names and values of the directives that `matches`; aliases count as names.
    pub fn matching(&self, matches: impl Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        let values = self.values.read().expect("a panic ends the process");
        let rows = DIRECTIVES.iter().zip(values.iter());
        rows.flat_map(|(row, value)| [(row.name, value), (row.alias, value)])
            .filter(|(name, _)| !name.is_empty() && matches(name))
            .map(|(name, value)| (name, value.clone()))
            .collect()
    }

    /// What running code reads.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().expect("a panic ends the process").clone()
    }

    /// Changes with every CONFIG SET, so that copies of the settings know when they are old.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Sets all of these pairs, or none.
    ///
    /// # Errors
    /// The first pair that is refused, and why.
    pub fn set(&self, pairs: &[(String, String)], may_protected: bool) -> Result<(), SetError> {
        let mut values = self.values.write().expect("a panic ends the process");
        let mut changed = values.clone();
        let mut seen = Vec::new();
        for (name, _) in pairs {
            let index = find(name).ok_or_else(|| SetError::Unknown(name.clone()))?;
            let refused =
                |reason: &str| SetError::Refused { name: name.clone(), reason: reason.to_string() };
            let row = &DIRECTIVES[index];
            if row.has(flag::PROTECTED) && !may_protected {
                return Err(refused("can't set protected config"));
            }
            if row.has(flag::IMMUTABLE) {
                return Err(refused("can't set immutable config"));
            }
            if seen.contains(&index) {
                return Err(refused("duplicate parameter"));
            }
            seen.push(index);
        }
        for ((name, value), index) in pairs.iter().zip(seen) {
            let row: &Directive = &DIRECTIVES[index];
            let parsed = row.parse(&values[index], std::slice::from_ref(value));
            changed[index] =
                parsed.map_err(|reason| SetError::Refused { name: name.clone(), reason })?;
        }
        *self.settings.write().expect("a panic ends the process") = Arc::new(settings_of(&changed));
        *values = changed;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Writes the values in force into the file given at start; comments and order stay.
    ///
    /// # Errors
    /// What to tell the client.
    pub fn rewrite(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Err("The server is running without a config file".into());
        };
        let values = self.values.read().expect("a panic ends the process").clone();
        rewrite::rewrite_file(file, &values)
            .map_err(|error| format!("Rewriting config file: {error}"))
    }
}

fn settings_of(values: &Values) -> Settings {
    Settings::new(|name| {
        let index = find(name).unwrap_or_else(|| panic!("no directive {name}"));
        &values[index]
    })
}

#[cfg(test)]
mod tests {
    use super::super::defaults;
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    fn refused(name: &str, reason: &str) -> Result<(), SetError> {
        Err(SetError::Refused { name: name.into(), reason: reason.into() })
    }

    #[test]
    fn a_refused_pair_leaves_all_as_it_was() {
        let config = Config::new(defaults(), None);
        let set = config.set(&pairs(&[("timeout", "5"), ("maxclients", "0")]), false);
        let reason = "argument must be between 1 and 4294967295 inclusive";
        assert_eq!(set, refused("maxclients", reason));
        assert_eq!((config.get("timeout").as_str(), config.version()), ("0", 0));
        let set = config.set(&pairs(&[("timeout", "5"), ("MAXCLIENTS", "9")]), false);
        assert_eq!(set, Ok(()));
        assert_eq!(config.settings().timeout_ms, 5000);
        assert_eq!((config.settings().clients_max, config.version()), (9, 1));
    }

    #[test]
    fn what_may_not_be_set_is_refused_by_name() {
        let config = Config::new(defaults(), None);
        let set = |name: &str| config.set(&pairs(&[(name, "1")]), false);
        assert_eq!(set("nope"), Err(SetError::Unknown("nope".into())));
        assert_eq!(set("databases"), refused("databases", "can't set immutable config"));
        let twice = config.set(&pairs(&[("hz", "1"), ("hz", "2")]), false);
        assert_eq!(twice, refused("hz", "duplicate parameter"));
    }

    #[test]
    fn aliases_are_matched_as_names_of_their_own() {
        let config = Config::new(defaults(), None);
        let found = config.matching(|name| name.starts_with("slave-pri"));
        assert_eq!(found, vec![("slave-priority", "100".to_string())]);
    }
}
