//! An npm tarball, unpacked. Nothing in it can be written outside the folder it is unpacked into.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::file_error::{FileError, at};

/// Unpacks the tarball into a folder, without the first component of its names (`package/`).
pub(crate) fn unpack(tarball: File, into: &Path) -> Result<(), FileError> {
    fs::create_dir_all(into).map_err(at("make", into))?;
    unpack_all(tarball, into).map_err(at("unpack into", into))
}

fn unpack_all(tarball: File, into: &Path) -> io::Result<()> {
    let mut archive = Archive::new(GzDecoder::new(io::BufReader::new(tarball)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if let Some(inner) = inner_path(&entry.path()?) {
            write(&mut entry, &into.join(inner))?;
        }
    }
    Ok(())
}

/// The name below the first component; `None` for that folder itself and for names that would lead elsewhere.
fn inner_path(name: &Path) -> Option<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let parts: Vec<Component<'_>> = name.components().collect();
    let inner = parts.get(1..).filter(|rest| !rest.is_empty())?;
    inner.iter().all(|part| plain(*part)).then(|| inner.iter().collect())
}

/// npm packages hold only files and folders; npm, too, passes links over.
fn write<R: io::Read>(entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
    match entry.header().entry_type() {
        EntryType::Directory => fs::create_dir_all(path),
        EntryType::Regular | EntryType::Continuous => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            write_file(entry, path)
        }
        _ => Ok(()),
    }
}

fn write_file<R: io::Read>(entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let executable = entry.header().mode()? & 0o100 != 0;
    let mut file = File::create(path)?;
    io::copy(entry, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}
