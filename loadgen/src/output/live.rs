//! What accompanies a run: files opened before it, rows written while it lasts, the rest after it.

use super::figures::Figures;
use super::hlog::HlogError;
use super::interval::{Collector, IntervalSink, Row, channel};
use super::progress::Progress;
use super::settings::Settings;
use super::{csv, hlog, spectrum};
use std::fs::File;
use std::io::{self, BufWriter, Stderr, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How often [`Live::pump`] should be called, in nanoseconds: several times a second.
pub const PUMP_NS: u64 = 100_000_000;

/// The run that is accompanied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Threads that measure.
    pub threads: usize,
    /// Whether two latencies are measured, as in an open loop.
    pub is_open: bool,
    /// Seconds that it is to last.
    pub duration_s: u64,
    /// Whether standard error is a terminal, on which the progress is shown.
    pub on_terminal: bool,
}

/// A file that an option asked for.
#[derive(Debug)]
struct Output {
    /// The option and the path, for messages.
    name: String,
    file: BufWriter<File>,
}

impl Output {
    fn create(option: &str, path: &Path) -> Result<Self, String> {
        let name = format!("{option} {}", path.display());
        let file = File::create(path).map_err(|error| format!("{name}: {}", why(&error)))?;
        Ok(Self { name, file: BufWriter::new(file) })
    }

    fn create_some(option: &str, path: Option<&PathBuf>) -> Result<Option<Self>, String> {
        path.map(|path| Self::create(option, path)).transpose()
    }

    /// Writes something whole: a reader that follows the file sees no half of a row.
    fn write<E: From<io::Error> + ToString>(
        &mut self,
        what: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
    ) -> Result<(), String> {
        what(&mut self.file)
            .and_then(|()| self.file.flush().map_err(E::from))
            .map_err(|error| format!("{}: {}", self.name, why(&error)))
    }
}

/// The text of an error without the number that the standard library adds.
fn why(error: &impl ToString) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error ").unwrap_or(text.len()));
    text
}

/// Files, the terminal, and what brings the seconds together.
#[derive(Debug)]
pub struct Live {
    hgrm: Option<Output>,
    service_hgrm: Option<Output>,
    hlog: Option<Output>,
    csv: Option<Output>,
    progress: Option<Progress<Stderr>>,
    collector: Option<Collector>,
    /// Why writing failed; nothing is written after that.
    error: Option<String>,
}

impl Live {
    /// Opens the files and writes what stands before the rows. The sinks are for the threads; there
    /// are none where nothing is wanted second by second, so that nothing is recorded twice.
    ///
    /// `began` is when the measurement is going to begin.
    ///
    /// # Errors
    /// A message that names the option, the path and why the file cannot be written.
    pub fn new(
        settings: &Settings,
        run: Run,
        began: SystemTime,
    ) -> Result<(Vec<IntervalSink>, Self), String> {
        let service_path = settings.hgrm.as_deref().filter(|_| run.is_open).map(service_path);
        let mut live = Self {
            hgrm: Output::create_some("--hgrm", settings.hgrm.as_ref())?,
            service_hgrm: Output::create_some("--hgrm", service_path.as_ref())?,
            hlog: Output::create_some("--hlog", settings.hlog.as_ref())?,
            csv: Output::create_some("--csv", settings.csv.as_ref())?,
            progress: run.on_terminal.then(|| Progress::new(io::stderr(), run.duration_s)),
            collector: None,
            error: None,
        };
        if let Some(hlog) = &mut live.hlog {
            let program = concat!("loadgen ", env!("CARGO_PKG_VERSION"));
            hlog.write(|out| hlog::write_header(out, program, began))?;
        }
        if let Some(csv) = &mut live.csv {
            csv.write(csv::write_header)?;
        }
        if !settings.wants_rows() && !run.on_terminal {
            return Ok((Vec::new(), live));
        }
        let (sinks, collector) = channel(run.threads, run.is_open);
        live.collector = Some(collector);
        Ok((sinks, live))
    }

    /// Writes and shows the seconds that are complete.
    pub fn pump(&mut self) {
        while let Some(row) = self.collector.as_mut().and_then(Collector::next_row) {
            self.write_row(&row);
            if let Some(progress) = &mut self.progress {
                // A terminal that is gone is no reason to end the run.
                drop(progress.show(&row));
            }
        }
    }

    /// Writes what is left when the threads have ended, and clears the terminal.
    ///
    /// # Errors
    /// A message where any file could not be written, now or before.
    pub fn finish(mut self, figures: &Figures) -> Result<(), String> {
        let collector = self.collector.as_mut();
        let (rows, merged) = collector.map_or_else(Default::default, |collector| {
            let rows = collector.finish();
            (rows, collector.merged())
        });
        rows.iter().for_each(|row| self.write_row(row));
        if let Some(progress) = &mut self.progress {
            drop(progress.clear());
        }
        if let Some(hlog) = self.hlog.as_mut().filter(|_| merged > 0) {
            hlog.write(|out| {
                writeln!(out, "#[{merged} intervals are part of the row after them]")
            })?;
        }
        if let Some(hgrm) = &mut self.hgrm {
            hgrm.write(|out| spectrum::write(&figures.latency, out))?;
        }
        if let (Some(hgrm), Some(service)) = (&mut self.service_hgrm, &figures.service) {
            hgrm.write(|out| spectrum::write(service, out))?;
        }
        self.error.map_or(Ok(()), Err)
    }

    fn write_row(&mut self, row: &Row) {
        if self.error.is_some() {
            return;
        }
        let hlog = self.hlog.as_mut();
        let written =
            hlog.map_or(Ok(()), |hlog| hlog.write::<HlogError>(|out| hlog::write_row(out, row)));
        let csv = self.csv.as_mut();
        let written = written
            .and_then(|()| csv.map_or(Ok(()), |csv| csv.write(|out| csv::write_row(out, row))));
        self.error = written.err();
    }
}

/// `out.service.hgrm` beside `out.hgrm`: the spectrum from when requests were sent.
fn service_path(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) => {
            let mut last = std::ffi::OsString::from("service.");
            last.push(extension);
            path.with_extension(last)
        }
        None => path.with_extension("service"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::figures;
    use super::*;
    use crate::output::settings::Setting;
    use crate::samples::Samples;
    use std::time::UNIX_EPOCH;

    /// A folder that is taken away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("loadgen-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    const RUN: Run = Run { threads: 1, is_open: true, duration_s: 10, on_terminal: false };

    #[test]
    fn all_files_of_an_open_loop_are_written() {
        let folder = Folder::new("live");
        let mut settings = Settings::default();
        for (setting, name) in
            [(Setting::Hgrm, "a.hgrm"), (Setting::Hlog, "a.hlog"), (Setting::Csv, "a.csv")]
        {
            settings.take(setting, folder.0.join(name).to_str().unwrap()).unwrap();
        }
        let (mut sinks, mut live) = Live::new(&settings, RUN, UNIX_EPOCH).unwrap();
        let mut sink = sinks.remove(0);
        sink.begin(0);
        sink.record(2_000_000, 1_000_000);
        sink.tick(1_000_000_000, 3);
        live.pump();
        // A row is there before the run is over.
        assert_eq!(folder.read("a.csv").lines().count(), 2);
        sink.record(2_000_000, 1_000_000);
        sink.finish(1_500_000_000, 3);
        let mut service = Samples::new(3, 1 << 40);
        service.record(1_000_000);
        live.finish(&Figures { service: Some(service), ..figures() }).unwrap();
        let csv = folder.read("a.csv");
        let rows: Vec<&str> = csv.lines().skip(1).collect();
        assert!(rows[0].starts_with("0.000,1.000,1,1.00,2000.000,"), "{csv}");
        assert!(rows[0].ends_with(",3") && rows[1].starts_with("1.000,0.500,1,2.00,"), "{csv}");
        let hlog = folder.read("a.hlog");
        let tags = hlog.lines().filter(|line| line.starts_with("Tag=service,")).count();
        assert_eq!((tags, hlog.lines().count()), (2, 5 + 4), "{hlog}");
        assert!(
            folder
                .read("a.hgrm")
                .contains("#[Max     =     1.000000, Total count    =         1000]")
        );
        assert!(folder.read("a.service.hgrm").contains("Total count    =            1]"));
    }

    #[test]
    fn a_closed_loop_has_one_spectrum_and_without_rows_there_are_no_sinks() {
        let folder = Folder::new("closed");
        let mut settings = Settings::default();
        settings.take(Setting::Hgrm, folder.0.join("out").to_str().unwrap()).unwrap();
        let run = Run { is_open: false, ..RUN };
        let (sinks, live) = Live::new(&settings, run, UNIX_EPOCH).unwrap();
        assert!(sinks.is_empty());
        live.finish(&figures()).unwrap();
        let names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(service_path(Path::new("a/out")), Path::new("a/out.service"));
        assert_eq!(service_path(Path::new("a.b/out.x.hgrm")), Path::new("a.b/out.x.service.hgrm"));
    }

    #[test]
    fn files_that_cannot_be_written_are_named() {
        let mut settings = Settings::default();
        settings.take(Setting::Csv, "/nowhere/a.csv").unwrap();
        let refusal = Live::new(&settings, RUN, UNIX_EPOCH).unwrap_err();
        assert_eq!(refusal, "--csv /nowhere/a.csv: No such file or directory");
        settings = Settings::default();
        settings.take(Setting::Hlog, "/dev/full").unwrap();
        let refusal = Live::new(&settings, RUN, UNIX_EPOCH).unwrap_err();
        assert_eq!(refusal, "--hlog /dev/full: No space left on device");
    }
}
