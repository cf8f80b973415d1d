//! The page of a report in a browser: on a telephone and on a wide screen, nothing lies on
//! anything else, nothing sticks out, every picture shows something, nothing complains.
//!
//! The page is put into frames of a second page, which measures it: a frame has the width that it
//! is given, where a window has a least width of its own.

use crate::fixture::{Scratch, everything, measurements, plain, summary, with_steps, write};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const WIDTHS: [u64; 2] = [400, 1400];

/// Pictures of the page of a run that has everything.
const PICTURES: usize = 12;

/// What looks at the frames, once all are there.
const MEASURE: &str = include_str!("measure.js");

/// Whether there is a browser; says so where there is none.
fn browser() -> bool {
    let mut version = Command::new("chromium");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    let there = version.status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIPPED: no chromium to open the page with: apt-get install chromium");
    }
    there
}

/// Opens a page in frames of all widths; what was measured in each, and what the browser said.
fn open(folder: &Path, page: &str) -> (Vec<Value>, String) {
    let attribute = page.replace('&', "&amp;").replace('"', "&quot;");
    let frames = WIDTHS.map(|width| {
        format!("<iframe width=\"{width}\" height=\"900\" srcdoc=\"{attribute}\"></iframe>")
    });
    let frames = frames.concat();
    let around = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><link rel=\"icon\" href=\"data:,\">\
         <style>iframe {{ border: 0 }}</style>{frames}\
         <pre id=\"measured\"></pre><script>{MEASURE}</script>"
    );
    let path = folder.join("around.html");
    fs::write(&path, around).unwrap();
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let dom = String::from_utf8(output.stdout).unwrap();
    let measured = dom.split_once("<pre id=\"measured\">").and_then(|(_, rest)| {
        let (json, _) = rest.split_once("</pre>")?;
        let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&json).ok()
    });
    (measured.unwrap_or_else(|| panic!("nothing was measured: {said}")), said)
}

fn complaints(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("CONSOLE")).collect()
}

fn page_of(folder: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showdown"));
    let output = command.arg("report").arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::read_to_string(folder.join("report.html")).unwrap()
}

#[test]
fn a_page_is_readable_on_a_telephone_and_on_a_wide_screen() {
    if !browser() {
        return;
    }
    let scratch = Scratch::new("browser");
    let folder = scratch.0.join("run");
    write(&folder, &with_steps(summary(&everything())), &measurements(&everything()));
    let (frames, said) = open(&scratch.0, &page_of(&folder));
    assert_eq!(frames.len(), WIDTHS.len());
    assert_eq!(complaints(&said), [""; 0]);
    for (frame, width) in frames.iter().zip(WIDTHS) {
        // A bar to scroll with may take some of it.
        assert!(frame["width"].as_u64().unwrap().abs_diff(width) < 20, "{frame}");
        assert!(frame["scroll_width"].as_u64() <= frame["width"].as_u64(), "{frame}");
        assert_eq!(frame["sticking_out"], serde_json::json!([]), "at {width} px");
        assert_eq!(frame["overlapping"], serde_json::json!([]), "at {width} px");
        let marks = frame["marks"].as_object().unwrap();
        assert_eq!(marks.len(), PICTURES, "{marks:?}");
        for (picture, count) in marks {
            assert!(count.as_u64().unwrap() >= 2, "{picture} at {width} px: {count} marks");
        }
    }
}

/// The measuring itself is measured: a page with every fault.
#[test]
fn faults_of_a_page_are_seen() {
    if !browser() {
        return;
    }
    let scratch = Scratch::new("faults");
    let folder = scratch.folder("run", &plain());
    let faults = "<div style=\"width:1500px\" id=\"wide\">x</div>\
                  <figure id=\"empty\"><svg viewBox=\"0 0 480 10\">\
                  <text x=\"9\" y=\"9\">one</text>\
                  <text x=\"9\" y=\"9\">two</text><text x=\"470\" y=\"9\">three</text></svg>\
                  </figure>\
                  <script>console.error('a complaint')</script></main>";
    let page = page_of(&folder).replace("</main>", faults);
    let (frames, said) = open(&scratch.0, &page);
    assert!(complaints(&said).iter().any(|line| line.contains("a complaint")), "{said}");
    for frame in &frames {
        assert!(frame["scroll_width"].as_u64() > frame["width"].as_u64(), "{frame}");
        let sticking_out = frame["sticking_out"].to_string();
        assert!(sticking_out.contains("wide") && sticking_out.contains("three"), "{frame}");
        assert!(frame["overlapping"].to_string().contains("one / two"), "{frame}");
        assert_eq!(frame["marks"]["empty"], 0, "{frame}");
    }
}
