//! Rules about shell scripts.

use super::Finding;
use crate::tree::SourceFile;

/// Programs that end processes by their name: some of them may be somebody else's.
const BANNED: [&str; 3] = ["pkill", "killall", "fuser -k"];

pub(super) fn check(files: &[SourceFile], is_executable: impl Fn(&str) -> bool) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| is_script(file))
        .flat_map(|file| check_script(file, is_executable(&file.path)))
        .collect()
}

/// Whether a file is a script: by its extension, or the one that continuous integration calls.
pub(crate) fn is_script(file: &SourceFile) -> bool {
    file.extension() == "sh" || file.path == ".ci/run"
}

fn check_script(file: &SourceFile, is_executable: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report =
        |line: usize, what: String| findings.push(Finding::new(&file.path, line, what));
    for (number, line) in (1..).zip(file.text.lines()) {
        let code = line.split(" #").next().unwrap_or(line);
        if code.trim_start().starts_with('#') {
            continue;
        }
        for program in BANNED.iter().filter(|program| code.contains(*program)) {
            report(number, format!("`{program}`: end what was started, by its process id"));
        }
    }
    // A file without a first line that names a shell is sourced by others and run by nobody.
    if file.text.starts_with("#!") {
        if !is_executable {
            report(1, format!("not executable: chmod +x {}", file.path));
        }
        if !file.text.starts_with("#!/usr/bin/env bash\n") {
            report(1, "the first line is `#!/usr/bin/env bash`".to_owned());
        }
        if file.path != ".ci/run" && !file.text.contains("\nset -euo pipefail\n") {
            report(1, "no `set -euo pipefail`: errors would be passed over".to_owned());
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "#!/usr/bin/env bash\nset -euo pipefail\nkill \"$server\"\n";

    fn lines(path: &str, text: &str, is_executable: bool) -> Vec<usize> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        check(&[file], |_| is_executable).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_clean_script_passes() {
        assert_eq!(lines("infra/a.sh", CLEAN, true), [0; 0]);
        assert_eq!(lines("infra/a.sh", &format!("{CLEAN}# never pkill\n"), true), [0; 0]);
    }

    #[test]
    fn ending_processes_by_name_is_found() {
        for program in BANNED {
            let text = format!("{CLEAN}{program} server\n");
            assert_eq!(lines("infra/a.sh", &text, true), [4], "{program}");
            assert_eq!(lines("infra/a.rs", &text, true), [0; 0], "{program}");
        }
    }

    #[test]
    fn a_script_can_be_run_and_stops_at_errors() {
        assert_eq!(lines("infra/a.sh", CLEAN, false), [1]);
        assert_eq!(lines("infra/a.sh", "#!/bin/sh\nset -euo pipefail\n", true), [1]);
        assert_eq!(lines("infra/a.sh", "#!/usr/bin/env bash\nls\n", true), [1]);
        assert_eq!(lines("infra/sourced.sh", "packages=()\n", false), [0; 0]);
        assert_eq!(lines(".ci/run", "#!/usr/bin/env bash\nexec ./infra/test.sh\n", true), [0; 0]);
    }
}
