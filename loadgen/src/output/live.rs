//! What accompanies a run: files opened before it, rows written while it lasts by a thread that has
//! nothing else to do, the rest after it.

use super::figures::Figures;
use super::hlog::HlogError;
use super::progress::Progress;
use super::row::Row;
use super::settings::Settings;
use super::{csv, hlog, spectrum};
use crate::interval::{Interval, Tap};
use crate::worker;
use std::fs::File;
use std::io::{self, BufWriter, Stderr, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// Length of a row. Threads look at the time each 100 ms, so that this ends at the look which is
/// nearest to a second.
const ROW_LENGTH: Duration = Duration::from_millis(950);

/// A row shorter than this is what is left when the run is over, and is part of the row before.
const REMAINDER_NS: u64 = 50_000_000;

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

/// What is written and shown second by second.
#[derive(Debug)]
struct Rows {
    hlog: Option<Output>,
    csv: Option<Output>,
    progress: Option<Progress<Stderr>>,
}

impl Rows {
    fn is_wanted(&self) -> bool {
        self.hlog.is_some() || self.csv.is_some() || self.progress.is_some()
    }

    /// Writes and shows every interval until the threads have ended.
    ///
    /// A row is written when the next one is there, since that may be a part of it: a run ends a
    /// moment after its last second.
    fn run(mut self, intervals: impl Iterator<Item = Interval>) -> Result<(), String> {
        let mut began_ns = None;
        let mut last: Option<Row> = None;
        let mut written = Ok(());
        // NB: goes on after an error, so that what the threads hand over does not pile up.
        for interval in intervals {
            let began_ns = *began_ns.get_or_insert(interval.began_ns);
            let row = Row::of(interval, began_ns);
            match &mut last {
                Some(last) if row.length_ns < REMAINDER_NS => last.extend(&row),
                _ => {
                    self.show(&row);
                    let before = last.replace(row);
                    written = written.and_then(|()| self.write(before.as_ref()));
                }
            }
        }
        if let Some(progress) = &mut self.progress {
            // A terminal that is gone is no reason to fail.
            drop(progress.clear());
        }
        written.and_then(|()| self.write(last.as_ref()))
    }

    fn show(&mut self, row: &Row) {
        if let Some(progress) = &mut self.progress {
            drop(progress.show(row));
        }
    }

    fn write(&mut self, row: Option<&Row>) -> Result<(), String> {
        let Some(row) = row else { return Ok(()) };
        if let Some(hlog) = &mut self.hlog {
            hlog.write::<HlogError>(|out| hlog::write_row(out, row))?;
        }
        if let Some(csv) = &mut self.csv {
            csv.write(|out| csv::write_row(out, row))?;
        }
        Ok(())
    }
}

/// What accompanies one run.
#[derive(Debug)]
pub struct Live {
    hgrm: Option<Output>,
    service_hgrm: Option<Output>,
    rows: Option<JoinHandle<Result<(), String>>>,
}

impl Live {
    /// Opens the files, writes what stands before the rows, and starts the thread that writes them.
    /// The taps are for the threads of the load; there are none where nothing is wanted second by
    /// second, so that nothing is recorded twice.
    ///
    /// `began` is when the measurement is going to begin.
    ///
    /// # Errors
    /// A message that names the option, the path and why the file cannot be written.
    pub fn start(
        settings: &Settings,
        run: Run,
        began: SystemTime,
    ) -> Result<(Vec<Tap>, Self), String> {
        let service_path = settings.hgrm.as_deref().filter(|_| run.is_open).map(service_path);
        let hgrm = Output::create_some("--hgrm", settings.hgrm.as_ref())?;
        let service_hgrm = Output::create_some("--hgrm", service_path.as_ref())?;
        let mut rows = Rows {
            hlog: Output::create_some("--hlog", settings.hlog.as_ref())?,
            csv: Output::create_some("--csv", settings.csv.as_ref())?,
            progress: run.on_terminal.then(|| Progress::new(io::stderr(), run.duration_s)),
        };
        if let Some(hlog) = &mut rows.hlog {
            let program = concat!("loadgen ", env!("CARGO_PKG_VERSION"));
            hlog.write(|out| hlog::write_header(out, program, began))?;
        }
        if let Some(csv) = &mut rows.csv {
            csv.write(csv::write_header)?;
        }
        if !rows.is_wanted() {
            return Ok((Vec::new(), Self { hgrm, service_hgrm, rows: None }));
        }
        let (taps, intervals) = worker::watch(run.threads, ROW_LENGTH);
        let thread = thread::Builder::new().name("rows".to_owned());
        let thread = thread.spawn(move || rows.run(intervals));
        let thread = thread.map_err(|error| format!("unable to create a thread: {error}"))?;
        Ok((taps, Self { hgrm, service_hgrm, rows: Some(thread) }))
    }

    /// Writes what is left when the threads of the load have ended, and clears the terminal.
    ///
    /// # Errors
    /// A message where any file could not be written, now or before.
    pub fn finish(mut self, figures: &Figures) -> Result<(), String> {
        let rows = self.rows.map_or(Ok(()), |rows| {
            rows.join().unwrap_or_else(|_| Err("the thread of the rows has panicked".to_owned()))
        });
        if let Some(hgrm) = &mut self.hgrm {
            hgrm.write(|out| spectrum::write(&figures.latency, out))?;
        }
        if let (Some(hgrm), Some(service)) = (&mut self.service_hgrm, &figures.service) {
            hgrm.write(|out| spectrum::write(service, out))?;
        }
        rows
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
    use crate::outcome::Counts;
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

    fn interval(index: u64, length_ns: u64, values_ns: &[u64]) -> Interval {
        let mut latency = Samples::new(3, 1 << 40);
        values_ns.iter().for_each(|value| latency.record(*value));
        let counts = Counts { requests: values_ns.len() as u64, ..Counts::default() };
        let began_ns = 77 + index * 1_000_000_000;
        Interval { index, began_ns, ended_ns: began_ns + length_ns, counts, latency }
    }

    #[test]
    fn rows_are_written_as_they_come_and_the_remainder_is_part_of_the_last() {
        let folder = Folder::new("rows");
        let mut settings = Settings::default();
        settings.take(Setting::Csv, folder.0.join("a.csv").to_str().unwrap()).unwrap();
        let csv = Output::create_some("--csv", settings.csv.as_ref()).unwrap();
        let rows = Rows { hlog: None, csv, progress: None };
        let second = 1_000_000_000;
        let intervals = [
            interval(0, second, &[1000, 1000]),
            interval(1, second, &[]),
            interval(2, second, &[2000]),
            interval(3, 20_000, &[5000]),
        ];
        let written_before_the_last = std::cell::Cell::new(0);
        let watched = intervals.into_iter().inspect(|interval| {
            if interval.index == 3 {
                written_before_the_last.set(folder.read("a.csv").lines().count());
            }
        });
        rows.run(watched).unwrap();
        assert_eq!(written_before_the_last.get(), 2);
        let expect = "0.000,1.000,2,2.00,1.000,1.000,1.000,1.000,1.000,0\n\
                      1.000,1.000,0,0.00,,,,,,0\n\
                      2.000,1.000,2,2.00,5.000,5.000,5.000,5.000,5.000,0\n";
        assert_eq!(folder.read("a.csv"), expect);
    }

    #[test]
    fn all_files_of_an_open_loop_are_written() {
        let folder = Folder::new("live");
        let mut settings = Settings::default();
        for (setting, name) in
            [(Setting::Hgrm, "a.hgrm"), (Setting::Hlog, "a.hlog"), (Setting::Csv, "a.csv")]
        {
            settings.take(setting, folder.0.join(name).to_str().unwrap()).unwrap();
        }
        let (mut taps, live) = Live::start(&settings, RUN, UNIX_EPOCH).unwrap();
        let mut tap = taps.remove(0);
        tap.begin(7, Counts::default());
        tap.latency().record(2_000_000);
        tap.hand_over(1_000_000_007, Counts { requests: 1, read: 3, ..Counts::default() });
        drop(tap);
        let mut service = Samples::new(3, 1 << 40);
        service.record(1_000_000);
        live.finish(&Figures { service: Some(service), ..figures() }).unwrap();
        let csv = folder.read("a.csv");
        assert!(
            csv.ends_with("\n0.000,1.000,1,1.00,2000.000,2000.000,2000.000,2000.000,2000.000,3\n")
        );
        let hlog = folder.read("a.hlog");
        assert_eq!(hlog.lines().count(), 5 + 1, "{hlog}");
        let total = "#[Max     =     1.000000, Total count    =         1000]";
        assert!(folder.read("a.hgrm").contains(total));
        assert!(folder.read("a.service.hgrm").contains("Total count    =            1]"));
    }

    #[test]
    fn a_closed_loop_has_one_spectrum_and_without_rows_there_are_no_sinks() {
        let folder = Folder::new("closed");
        let mut settings = Settings::default();
        settings.take(Setting::Hgrm, folder.0.join("out").to_str().unwrap()).unwrap();
        let run = Run { is_open: false, ..RUN };
        let (taps, live) = Live::start(&settings, run, UNIX_EPOCH).unwrap();
        assert!(taps.is_empty());
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
        let refusal = Live::start(&settings, RUN, UNIX_EPOCH).unwrap_err();
        assert_eq!(refusal, "--csv /nowhere/a.csv: No such file or directory");
        settings = Settings::default();
        settings.take(Setting::Hlog, "/dev/full").unwrap();
        let refusal = Live::start(&settings, RUN, UNIX_EPOCH).unwrap_err();
        assert_eq!(refusal, "--hlog /dev/full: No space left on device");
    }
}
