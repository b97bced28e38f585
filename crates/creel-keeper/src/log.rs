//! A gateway's log: bounded, rotated, and never a reason for the gateway to wait. What can't be written is dropped
//! and counted, and the count is the first thing written when writing works again.
//!
//! Invariant: all files together never exceed the given size, not for a moment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use creel_api::keeper::LogFile;

/// How much of the last line is remembered, for telling why something could not be started.
const LAST_LINE_MAX: usize = 300;

/// An open log.
#[derive(Debug)]
pub struct Log {
    path: String,
    files: u32,
    file_max: u64,
    file: Option<File>,
    size: u64,
    lost_lines: u64,
    lost_why: String,
    last_line: Vec<u8>,
}

impl Log {
    /// Goes on with the log that is there. An unwritable one is tried again with each write.
    pub fn open(at: &LogFile) -> Self {
        let files = at.files.max(1);
        let log = Self {
            path: at.path.clone(),
            files,
            file_max: at.max_bytes / u64::from(files),
            file: None,
            size: 0,
            lost_lines: 0,
            lost_why: String::new(),
            last_line: Vec::new(),
        };
        log.remove_surplus();
        log
    }

    /// Writes or drops it all.
    pub fn write(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        if self.lost_lines > 0 && !self.tell_loss() {
            self.lose(bytes);
            return;
        }
        self.put(bytes);
    }

    /// The start of the last line that said something.
    pub fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.last_line);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
    }

    fn tell_loss(&mut self) -> bool {
        let note = format!("[creel: {} lines were lost here: {}]\n", self.lost_lines, self.lost_why);
        let told = self.append(note.as_bytes()).is_ok();
        if told {
            self.lost_lines = 0;
        }
        told
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part = self.part_that_fits(bytes);
            if part == 0 {
                if self.file_max == 0 {
                    return;
                }
                self.rotate();
                continue;
            }
            if let Err(error) = self.append(&bytes[..part]) {
                self.lost_why = error.to_string();
                self.lose(bytes);
                return;
            }
            bytes = &bytes[part..];
        }
    }

    /// How much goes into the present file: whole lines if that is possible at all.
    fn part_that_fits(&mut self, bytes: &[u8]) -> usize {
        let _ = self.opened();
        let room = usize::try_from(self.file_max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        let lines = bytes[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if lines == 0 && self.size == 0 { room } else { lines }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.file_max.saturating_sub(self.size) {
            self.rotate();
        }
        let file = self.opened()?;
        let outcome = file.write_all(bytes);
        self.size = file.metadata().map_or(self.file_max, |meta| meta.len());
        if outcome.is_err() {
            self.file = None;
        }
        outcome
    }

    fn opened(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
                self.size = file.metadata()?.len();
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Makes the present file the first of the old ones. Where that fails the present one is emptied: a bound that
    /// does not hold would fill the disk of every agent.
    fn rotate(&mut self) {
        self.file = None;
        self.size = 0;
        for older in (1..self.files).rev() {
            let newer = if older == 1 { PathBuf::from(&self.path) } else { self.numbered(older - 1) };
            let _ = fs::rename(newer, self.numbered(older));
        }
        if fs::metadata(&self.path).is_ok() {
            let _ = OpenOptions::new().write(true).truncate(true).open(&self.path);
        }
    }

    fn remove_surplus(&self) {
        let mut number = self.files;
        while fs::remove_file(self.numbered(number)).is_ok() {
            number += 1;
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}.{number}", self.path))
    }

    fn lose(&mut self, bytes: &[u8]) {
        self.lost_lines += bytes.iter().filter(|byte| **byte == b'\n').count().max(1) as u64;
    }

    fn remember(&mut self, bytes: &[u8]) {
        let tail = &bytes[bytes.len().saturating_sub(LAST_LINE_MAX)..];
        self.last_line.extend_from_slice(tail);
        let surplus = self.last_line.len().saturating_sub(LAST_LINE_MAX);
        self.last_line.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(folder: &std::path::Path, max_bytes: u64, files: u32) -> LogFile {
        LogFile { path: folder.join("log").to_string_lossy().into_owned(), max_bytes, files }
    }

    fn sizes(at: &LogFile) -> Vec<u64> {
        let paths = std::iter::once(at.path.clone()).chain((1..9).map(|n| format!("{}.{n}", at.path)));
        paths.map_while(|path| fs::metadata(path).ok()).map(|meta| meta.len()).collect()
    }

    #[test]
    fn all_files_together_stay_within_the_bound() {
        let scratch = tempfile::tempdir().unwrap();
        let at = log_in(scratch.path(), 300, 3);
        let mut log = Log::open(&at);
        for number in 0..200 {
            log.write(format!("line {number}\n").as_bytes());
            assert!(sizes(&at).iter().sum::<u64>() <= 300);
        }
        assert_eq!(sizes(&at).len(), 3);
        assert!(fs::read_to_string(&at.path).unwrap().ends_with("line 199\n"));
        assert!(fs::read_to_string(format!("{}.1", at.path)).unwrap().starts_with("line "));
    }

    #[test]
    fn a_line_longer_than_a_file_is_cut_and_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let at = log_in(scratch.path(), 20, 2);
        let mut log = Log::open(&at);
        log.write(&[b'x'; 95]);
        assert_eq!(sizes(&at), [5, 10]);
    }

    #[test]
    fn a_log_is_gone_on_with_and_surplus_files_are_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let mut log = Log::open(&log_in(scratch.path(), 40, 4));
        log.write(b"12345\n12345\n12345\n12345\n");
        let at = log_in(scratch.path(), 40, 2);
        Log::open(&at).write(b"end\n");
        assert_eq!(sizes(&at).len(), 2);
        assert!(fs::read_to_string(&at.path).unwrap().ends_with("12345\nend\n"));
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_told() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("later");
        let at = log_in(&folder, 4000, 2);
        let mut log = Log::open(&at);
        log.write(b"one\ntwo\n");
        log.write(b"three\n");
        fs::create_dir(&folder).unwrap();
        log.write(b"four\n");
        let text = fs::read_to_string(&at.path).unwrap();
        assert!(text.starts_with("[creel: 3 lines were lost here: "), "{text}");
        assert!(text.ends_with("]\nfour\n"), "{text}");
        assert_eq!(log.last_line(), "four");
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let mut log = Log::open(&LogFile { path: "/dev/full".into(), max_bytes: 1000, files: 1 });
        log.write(b"one\n");
        log.write(b"two\n");
        assert_eq!(log.lost_lines, 2);
        assert!(log.lost_why.contains("space"), "{}", log.lost_why);
    }
}
