//! Where manifests come from: files, folders, stdin; and the single YAML documents in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ManifestError;
use crate::yaml::BYTES_MOST;

/// A folder inside a folder inside …: deeper than any person nests them.
const DEPTH_MOST: usize = 16;

/// The text of one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// One YAML document of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) file: &'a str,
    pub(super) lines_before: u64,
    pub(super) text: String,
}

/// The text behind all these paths; `-` is stdin.
pub(super) fn read_all(paths: &[PathBuf], recursive: bool) -> Result<Vec<Source>, ManifestError> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(read("<stdin>", io::stdin().lock())?);
        } else if path.is_dir() {
            let depth = if recursive { DEPTH_MOST } else { 0 };
            for file in files_of(path, depth)? {
                sources.push(read_file(&file)?);
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

/// The manifests of a folder, sorted by name, so that two runs do the same in the same order.
fn files_of(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, ManifestError> {
    let unreadable = |source| ManifestError::Read { path: folder.display().to_string(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>();
    let mut paths: Vec<PathBuf> = entries.map_err(unreadable)?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() && depth > 0 {
            files.extend(files_of(&path, depth - 1)?);
        } else if path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, ManifestError> {
    let name = path.display().to_string();
    let unreadable = |source| ManifestError::Read { path: name.clone(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > BYTES_MOST as u64 {
        return Err(ManifestError::TooLarge { path: name });
    }
    read(&name, file)
}

fn read(name: &str, from: impl Read) -> Result<Source, ManifestError> {
    let mut bytes = Vec::new();
    let read = from.take(BYTES_MOST as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| ManifestError::Read { path: name.to_owned(), source })?;
    if bytes.len() > BYTES_MOST {
        return Err(ManifestError::TooLarge { path: name.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|_| ManifestError::NotText(name.to_owned()))?;
    Ok(Source { name: name.to_owned(), text: text.trim_start_matches('\u{feff}').to_owned() })
}

/// The documents of a file that hold more than blanks and comments. YAML lets `---` at the start of a line mean
/// nothing else than a new document, not even inside a text block.
pub(super) fn pieces(source: &Source) -> Vec<Piece<'_>> {
    let mut pieces = vec![Piece { file: &source.name, lines_before: 0, text: String::new() }];
    for (number, line) in (0u64..).zip(source.text.split_inclusive('\n')) {
        if is_marker(line, "---") || is_marker(line, "...") {
            pieces.push(Piece { file: &source.name, lines_before: number, text: String::new() });
        }
        let ends = is_marker(line, "...");
        if let Some(piece) = pieces.last_mut() {
            piece.text.push_str(if ends { "\n" } else { line });
        }
    }
    pieces.retain(|piece| piece.text.lines().any(has_content));
    pieces
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

fn has_content(line: &str) -> bool {
    let text = line.strip_prefix("---").unwrap_or(line).trim();
    !text.is_empty() && !text.starts_with('#')
}
