//! Options as GNU `getopt_long` reads them, with its messages: options may follow operands, long
//! ones may be shortened as long as they stay unambiguous, `--` ends them.
//!
//! wrk's command line is getopt's, down to its error texts, so a parser with texts of its own
//! would not do.

/// An option that may be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec<Id> {
    /// What the caller calls it.
    pub(crate) id: Id,
    /// `-c`.
    pub(crate) short: Option<char>,
    /// `--connections`.
    pub(crate) long: Option<&'static str>,
    /// Whether an argument must follow.
    pub(crate) takes_value: bool,
    /// Whether it gives way to the others where its name is shortened, so that new options do not
    /// make abbreviations ambiguous that worked without them.
    pub(crate) yields: bool,
}

/// One thing found on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<Id> {
    /// An option with its argument.
    Option(Id, Option<String>),
    /// A word that is not an option.
    Operand(String),
}

/// Splits a command line. The items before an error are there too, since their effects stay.
pub(crate) fn split<Id: Copy>(
    specs: &[Spec<Id>],
    program: &str,
    words: &[String],
) -> (Vec<Item<Id>>, Result<(), String>) {
    let mut scan = Scan { specs, program, words: words.iter(), items: Vec::new() };
    let result = scan.run();
    (scan.items, result)
}

struct Scan<'a, Id> {
    specs: &'a [Spec<Id>],
    program: &'a str,
    words: std::slice::Iter<'a, String>,
    items: Vec<Item<Id>>,
}

impl<Id: Copy> Scan<'_, Id> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(word) = self.words.next() {
            if word == "--" {
                self.items.extend(self.words.by_ref().cloned().map(Item::Operand));
            } else if let Some(long) = word.strip_prefix("--") {
                self.long(long)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.short(&word[1..])?;
            } else {
                self.items.push(Item::Operand(word.clone()));
            }
        }
        Ok(())
    }

    fn long(&mut self, word: &str) -> Result<(), String> {
        let program = self.program;
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let spec = self.find_long(name)?;
        let full = spec.long.unwrap_or_default();
        let value = match (spec.takes_value, attached) {
            (false, Some(_)) => {
                return Err(format!("{program}: option '--{full}' doesn't allow an argument"));
            }
            (false, None) => None,
            (true, Some(value)) => Some(value),
            (true, None) => Some(
                self.words
                    .next()
                    .cloned()
                    .ok_or_else(|| format!("{program}: option '--{full}' requires an argument"))?,
            ),
        };
        self.items.push(Item::Option(spec.id, value));
        Ok(())
    }

    fn find_long(&self, name: &str) -> Result<Spec<Id>, String> {
        let program = self.program;
        let starting: Vec<_> = self
            .specs
            .iter()
            .filter_map(|spec| Some((spec, spec.long?)))
            .filter(|(_, long)| long.starts_with(name))
            .collect();
        if let Some((spec, _)) = starting.iter().find(|(_, long)| *long == name) {
            return Ok(**spec);
        }
        let firm: Vec<_> = starting.iter().filter(|(spec, _)| !spec.yields).copied().collect();
        let meant = if firm.is_empty() { starting } else { firm };
        match meant.as_slice() {
            [(spec, _)] => Ok(**spec),
            [] => Err(format!("{program}: unrecognized option '--{name}'")),
            several => {
                let names: String =
                    several.iter().map(|(_, long)| format!(" '--{long}'")).collect();
                Err(format!("{program}: option '--{name}' is ambiguous; possibilities:{names}"))
            }
        }
    }

    /// A cluster such as `-Lt4`: flags, the last of which may take the rest as its argument.
    fn short(&mut self, cluster: &str) -> Result<(), String> {
        let program = self.program;
        let mut letters = cluster.chars();
        while let Some(letter) = letters.next() {
            let spec = *self
                .specs
                .iter()
                .find(|spec| spec.short == Some(letter))
                .ok_or_else(|| format!("{program}: invalid option -- '{letter}'"))?;
            if !spec.takes_value {
                self.items.push(Item::Option(spec.id, None));
                continue;
            }
            let rest = letters.as_str();
            let value =
                if rest.is_empty() { self.words.next().cloned() } else { Some(rest.into()) };
            let missing = || format!("{program}: option requires an argument -- '{letter}'");
            self.items.push(Item::Option(spec.id, Some(value.ok_or_else(missing)?)));
            return Ok(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn spec(id: char, long: &'static str, takes_value: bool, yields: bool) -> Spec<char> {
        let short = if yields { None } else { Some(id) };
        Spec { id, short, long: Some(long), takes_value, yields }
    }

    const SPECS: [Spec<char>; 7] = [
        spec('c', "connections", true, false),
        spec('t', "threads", true, false),
        spec('T', "timeout", true, false),
        spec('L', "latency", false, false),
        spec('p', "pin", true, true),
        spec('P', "pin-cpus", false, true),
        spec('l', "layout", false, true),
    ];

    fn check(words: &str, expect: &str, error: Option<&str>) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let (items, result) = split(&SPECS, "prog", &words);
        let text: Vec<String> = items
            .into_iter()
            .map(|item| match item {
                Item::Option(id, value) => format!("{id}={}", value.unwrap_or_default()),
                Item::Operand(word) => word,
            })
            .collect();
        assert_eq!(text.join(" "), expect, "{words:?}");
        assert_eq!(result.err().as_deref(), error, "{words:?}");
    }

    #[test]
    fn every_way_to_write_an_option_is_understood() {
        check("-c 5 url", "c=5 url", None);
        check("-c5 url", "c=5 url", None);
        check("url -c5", "url c=5", None);
        check("-Lc5 url", "L= c=5 url", None);
        check("--connections 5", "c=5", None);
        check("--connections=5", "c=5", None);
        check("--conn 5 --lat", "c=5 L=", None);
        check("--pin 0,1", "p=0,1", None);
        check("--pin-c --la --l --lay", "P= L= L= l=", None);
        check("-c -t", "c=-t", None);
        check("url -- -c 5", "url -c 5", None);
        check("- url", "- url", None);
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_getopt() {
        check("-z", "", Some("prog: invalid option -- 'z'"));
        check("-L -c", "L=", Some("prog: option requires an argument -- 'c'"));
        check("--foo", "", Some("prog: unrecognized option '--foo'"));
        check("--foo=1", "", Some("prog: unrecognized option '--foo'"));
        check("--latency=3", "", Some("prog: option '--latency' doesn't allow an argument"));
        check("--lat=3", "", Some("prog: option '--latency' doesn't allow an argument"));
        check("--thr", "", Some("prog: option '--threads' requires an argument"));
        check(
            "--t 3",
            "",
            Some("prog: option '--t' is ambiguous; possibilities: '--threads' '--timeout'"),
        );
        check(
            "--p 3",
            "",
            Some("prog: option '--p' is ambiguous; possibilities: '--pin' '--pin-cpus'"),
        );
    }
}
