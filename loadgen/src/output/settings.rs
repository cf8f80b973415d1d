//! The options that ask for these outputs.

use super::condition::Condition;
use super::percentiles::PercentileList;
use std::path::PathBuf;

/// What was asked for; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Percentiles to print.
    pub percentiles: Option<PercentileList>,
    /// Where the percentile spectrum goes.
    pub hgrm: Option<PathBuf>,
    /// Where the interval log goes.
    pub hlog: Option<PathBuf>,
    /// Where the rows of each second go.
    pub csv: Option<PathBuf>,
    /// Conditions that fail the run.
    pub fail_if: Vec<Condition>,
}

/// One of the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `--percentiles`.
    Percentiles,
    /// `--hgrm`.
    Hgrm,
    /// `--hlog`.
    Hlog,
    /// `--csv`.
    Csv,
    /// `--fail-if`, which may come several times.
    FailIf,
}

impl Setting {
    /// All of them, with the long names under which they are given.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Percentiles, "percentiles"),
        (Self::Hgrm, "hgrm"),
        (Self::Hlog, "hlog"),
        (Self::Csv, "csv"),
        (Self::FailIf, "fail-if"),
    ];
}

/// Lines for the usage.
pub const USAGE: [&str; 6] = [
    "        --percentiles <L>  Print these percentiles (50,90,99,99.9,max)",
    "        --hgrm        <F>  Write the percentile spectrum (HdrHistogram) to a file",
    "        --hlog        <F>  Write a histogram each second (HdrHistogram log) to a file",
    "        --csv         <F>  Write rate, percentiles and errors of each second to a file",
    "        --fail-if     <C>  Exit with 99 if this comes true (p99>500us, errors>0,",
    "                           rate<10k, non2xx>0); may be given several times",
];

impl Settings {
    /// Takes an option with its value.
    ///
    /// # Errors
    /// A message that names the option and what is wrong with the value.
    pub fn take(&mut self, setting: Setting, value: &str) -> Result<(), String> {
        match setting {
            Setting::Percentiles => {
                let list = PercentileList::parse(value);
                self.percentiles = Some(list.map_err(|why| format!("--percentiles: {why}"))?);
            }
            Setting::Hgrm => self.hgrm = Some(PathBuf::from(value)),
            Setting::Hlog => self.hlog = Some(PathBuf::from(value)),
            Setting::Csv => self.csv = Some(PathBuf::from(value)),
            Setting::FailIf => {
                let condition = Condition::parse(value);
                self.fail_if.push(condition.map_err(|why| format!("--fail-if {why}"))?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_taken_by_its_name_and_stands_in_the_usage() {
        let usage = USAGE.concat();
        for (setting, name) in Setting::ALL {
            let value = match setting {
                Setting::Percentiles => "50,max",
                Setting::FailIf => "p99>1ms",
                Setting::Hgrm | Setting::Hlog | Setting::Csv => "file",
            };
            let mut settings = Settings::default();
            settings.take(setting, value).unwrap();
            assert_ne!(settings, Settings::default(), "{name}");
            assert!(usage.contains(&format!("--{name} ")), "{name}");
        }
    }

    #[test]
    fn conditions_add_up_and_mistakes_name_the_option() {
        let mut settings = Settings::default();
        settings.take(Setting::FailIf, "p99>1ms").unwrap();
        settings.take(Setting::FailIf, "errors>0").unwrap();
        assert_eq!(settings.fail_if.len(), 2);
        let refusal = settings.take(Setting::FailIf, "p99>1").unwrap_err();
        assert!(refusal.starts_with("--fail-if 'p99>1': at character 6: a latency"), "{refusal}");
        let refusal = settings.take(Setting::Percentiles, "50,x").unwrap_err();
        assert!(refusal.starts_with("--percentiles: 'x' is no percentile"), "{refusal}");
    }
}
