//! Reading a rotated log: its last lines, and what is added while someone watches.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

/// Lines shown if nobody says how many.
pub(crate) const TAIL: usize = 200;

/// How often a watched log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The most that is read at once.
const CHUNK: usize = 64 << 10;

/// The last `tail` lines of the log at `path`, then, if `follow`, everything that is added, across rotations.
pub(crate) fn stream(path: PathBuf, tail: usize, follow: bool) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::unfold(
        Some(Reader { path, tail: Some(tail), at: 0, inode: 0, follow }),
        |reader| async move {
            let mut reader = reader?;
            loop {
                match reader.more() {
                    Ok(bytes) if !bytes.is_empty() => return Some((Ok(bytes), Some(reader))),
                    Ok(_) if reader.follow => tokio::time::sleep(LOOK_EVERY).await,
                    Ok(_) => return None,
                    Err(error) => return Some((Err(error), None)),
                }
            }
        },
    )
}

#[derive(Debug)]
struct Reader {
    path: PathBuf,
    tail: Option<usize>,
    at: u64,
    inode: u64,
    follow: bool,
}

impl Reader {
    fn more(&mut self) -> io::Result<Bytes> {
        if let Some(tail) = self.tail.take() {
            return self.last_lines(tail);
        }
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
            other => other?,
        };
        if file.metadata()?.ino() != self.inode {
            return self.after_rotation(&file);
        }
        self.read_on(&mut file)
    }

    /// What was added to the old file before it was rotated away, then the new file from its beginning.
    fn after_rotation(&mut self, new: &File) -> io::Result<Bytes> {
        let old = rotated(&self.path, 1);
        if let Ok(mut old) = File::open(old)
            && old.metadata()?.ino() == self.inode
        {
            let rest = self.read_on(&mut old)?;
            if !rest.is_empty() {
                return Ok(rest);
            }
        }
        (self.inode, self.at) = (new.metadata()?.ino(), 0);
        self.read_on(&mut File::open(&self.path)?)
    }

    fn read_on(&mut self, file: &mut File) -> io::Result<Bytes> {
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(CHUNK as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.into())
    }

    /// The newest file and as many of the older ones as are needed.
    fn last_lines(&mut self, tail: usize) -> io::Result<Bytes> {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.read_to_end(&mut text)?;
            (self.inode, self.at) = (file.metadata()?.ino(), text.len() as u64);
        }
        let mut age = 1;
        while lines(&text) < tail
            && let Ok(older) = std::fs::read(rotated(&self.path, age))
        {
            text = [older, text].concat();
            age += 1;
        }
        let skip = lines(&text).saturating_sub(tail);
        let from = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1)
            .nth(skip.wrapping_sub(1));
        Ok(text.split_off(if skip == 0 { 0 } else { from.unwrap_or(0) }).into())
    }
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn rotated(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_taken_from_older_files_where_the_newest_has_too_few() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.log");
        std::fs::write(rotated(&path, 1), "a\nb\nc\n").unwrap();
        std::fs::write(&path, "d\ne\n").unwrap();
        let read: Vec<Bytes> = stream(path, 3, false).map(Result::unwrap).collect().await;
        assert_eq!(read.concat(), b"c\nd\ne\n");
    }

    #[tokio::test]
    async fn a_watched_log_goes_on_across_a_rotation_without_losing_a_line() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.log");
        std::fs::write(&path, "a\n").unwrap();
        let mut watched = Box::pin(stream(path.clone(), 10, true));
        assert_eq!(watched.next().await.unwrap().unwrap(), "a\n");
        std::fs::write(&path, "a\nb\n").unwrap();
        std::fs::rename(&path, rotated(&path, 1)).unwrap();
        std::fs::write(&path, "c\n").unwrap();
        assert_eq!(watched.next().await.unwrap().unwrap(), "b\n");
        assert_eq!(watched.next().await.unwrap().unwrap(), "c\n");
    }
}
