//! A command line in a file: a string, or a list of words.

use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::str::FromStr;

/// A command line, program first; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelling")]
pub(crate) struct Words(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Spelling {
    Line(String),
    Words(Vec<String>),
}

impl Words {
    /// The first word.
    pub(crate) fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl Deref for Words {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Words {
    type Err = String;

    /// Splits as a shell would, without expanding anything.
    fn from_str(line: &str) -> Result<Self, String> {
        let words = shlex::split(line);
        let words = words.ok_or_else(|| format!("a quote in '{line}' is not closed"))?;
        Self::try_from(Spelling::Words(words))
    }
}

impl TryFrom<Spelling> for Words {
    type Error = String;

    fn try_from(spelling: Spelling) -> Result<Self, String> {
        match spelling {
            Spelling::Line(line) => line.parse(),
            Spelling::Words(words) => match words.first() {
                Some(program) if !program.is_empty() => Ok(Self(words)),
                _ => Err("a command needs a program".to_owned()),
            },
        }
    }
}
