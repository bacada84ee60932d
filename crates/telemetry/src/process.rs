//! What the system knows about this process, read from `/proc`. Elsewhere than on Linux: nothing.

use std::fs;

/// Figures of the process; `None` for what could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<f64>,
    pub(crate) virtual_bytes: Option<f64>,
    pub(crate) threads: Option<f64>,
    pub(crate) start_seconds: Option<f64>,
    pub(crate) open_files: Option<f64>,
    pub(crate) max_files: Option<f64>,
}

/// The kernel reports times to programs in hundredths of a second on every platform that Rust's Linux targets cover.
const TICKS: f64 = 100.0;

impl Process {
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let known = Self::parse(
            &text("/proc/self/stat"),
            &text("/proc/self/status"),
            &text("/proc/stat"),
            &text("/proc/self/limits"),
        );
        Self { open_files, ..known }
    }

    fn parse(stat: &str, status: &str, system: &str, limits: &str) -> Self {
        // The second field is the name of the program, in parentheses and with anything in it; numbering goes on after it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        let line = |text: &str, name: &str| -> Option<f64> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let kibibytes = |name| line(status, name).map(|value| value * 1_024.0);
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            resident_bytes: kibibytes("VmRSS:"),
            virtual_bytes: kibibytes("VmSize:"),
            threads: line(status, "Threads:"),
            start_seconds: ticks(22).zip(line(system, "btime")).map(|(since, boot)| boot + since),
            open_files: None,
            max_files: line(limits, "Max open files"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_from_the_kernels_text() {
        let stat = "4321 (va) mp (x) S 1 2 3 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 123456 1000 200 18446744073709551615";
        let status = "Name:\tvamp\nVmPeak:\t  300 kB\nVmSize:\t  200 kB\nVmRSS:\t   100 kB\nThreads:\t9\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(
            Process::parse(stat, status, "cpu 1 2\nbtime 1700000000\n", limits),
            Process {
                cpu_seconds: Some(2.0),
                resident_bytes: Some(102_400.0),
                virtual_bytes: Some(204_800.0),
                threads: Some(9.0),
                start_seconds: Some(1_700_001_234.56),
                open_files: None,
                max_files: Some(1_024.0),
            }
        );
        assert_eq!(Process::parse("", "", "", ""), Process::default());
        assert_eq!(
            Process::parse("1 (x) S", "VmRSS: x", "btime", "Max open files unlimited"),
            Process::default()
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_all_of_them() {
        let process = Process::read();
        for value in [process.resident_bytes, process.threads, process.start_seconds, process.open_files] {
            assert!(value.is_some_and(|value| value > 0.0), "{process:?}");
        }
    }
}
