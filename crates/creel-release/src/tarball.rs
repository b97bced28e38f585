//! A published tarball, downloaded once and checked by its sha512.
//!
//! A file stands in the cache under its hash only after that hash was found true; until then it has no name.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::file_error::{FileError, at};
use crate::registry::{Published, Registry, RegistryError};

const LONGEST_TARBALL_BYTES: u64 = 2 << 30;

/// A tarball that was asked for.
pub(crate) struct Tarball<'a> {
    pub(crate) package: &'a str,
    pub(crate) version: &'a str,
    pub(crate) published: &'a Published,
}

/// The tarball, from the cache where it is there and whole, else from the registry. `seen` hears of the share that
/// has come, 0 to 1000.
pub(crate) async fn fetch(
    registry: &Registry,
    cache: &Path,
    tarball: &Tarball<'_>,
    seen: &mut (dyn FnMut(u16) + Send),
) -> Result<File, RegistryError> {
    let wanted = sha512(tarball)?;
    let folder = cache.join("npm");
    let kept = folder.join(file_name(&wanted));
    if let Some(file) = whole(&kept, &wanted)? {
        return Ok(file);
    }
    fs::create_dir_all(&folder).map_err(at("make", &folder))?;
    let url = registry.settings.tarball_url(&tarball.published.dist.tarball);
    let mut part = tempfile::NamedTempFile::new_in(&folder).map_err(at("write in", &folder))?;
    let found = download(registry, &url, part.as_file_mut(), &folder, seen).await?;
    if found != wanted {
        let found = STANDARD.encode(found);
        return Err(RegistryError::Altered { url, wanted: STANDARD.encode(wanted), found });
    }
    part.as_file().sync_all().map_err(at("write in", &folder))?;
    let persist = |error: tempfile::PersistError| at("name", &kept)(error.error);
    let mut file = part.persist(&kept).map_err(persist)?;
    file.rewind().map_err(at("read", &kept))?;
    Ok(file)
}

/// The strongest hash of an integrity string; weaker ones are no proof.
fn sha512(tarball: &Tarball<'_>) -> Result<Vec<u8>, RegistryError> {
    let announced = tarball.published.dist.integrity.as_deref().unwrap_or_default();
    let strong = announced.split_whitespace().find_map(|word| word.strip_prefix("sha512-"));
    strong.and_then(|encoded| STANDARD.decode(encoded).ok()).ok_or_else(|| RegistryError::Unchecked {
        package: tarball.package.to_owned(),
        version: tarball.version.to_owned(),
    })
}

fn file_name(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A cached file, if it is still what its name says: a disk may rot, a power cut may truncate.
fn whole(kept: &PathBuf, wanted: &[u8]) -> Result<Option<File>, FileError> {
    let Ok(mut file) = File::open(kept) else { return Ok(None) };
    let mut hash = HashWriter(Context::new(&SHA512));
    std::io::copy(&mut file, &mut hash).map_err(at("read", kept))?;
    if hash.0.finish().as_ref() != wanted {
        fs::remove_file(kept).map_err(at("remove", kept))?;
        return Ok(None);
    }
    file.rewind().map_err(at("read", kept))?;
    Ok(Some(file))
}

struct HashWriter(Context);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the body to a file and gives its hash.
async fn download(
    registry: &Registry,
    url: &str,
    file: &mut File,
    folder: &Path,
    seen: &mut (dyn FnMut(u16) + Send),
) -> Result<Vec<u8>, RegistryError> {
    let mut response = registry.ask(url, "*/*").await?;
    let total = response.content_length();
    let (mut received, mut hash) = (0_u64, Context::new(&SHA512));
    let broken = |received| move |source| RegistryError::BrokenOff { url: url.to_owned(), received, source };
    while let Some(piece) = response.chunk().await.map_err(broken(received))? {
        file.write_all(&piece).map_err(at("write in", folder))?;
        hash.update(&piece);
        received += piece.len() as u64;
        if received > LONGEST_TARBALL_BYTES {
            return Err(RegistryError::NotARegistry {
                url: url.to_owned(),
                why: "the tarball has no end".into(),
            });
        }
        seen(share(received, total));
    }
    Ok(hash.finish().as_ref().to_vec())
}

fn share(received: u64, total: Option<u64>) -> u16 {
    let share = received.saturating_mul(1000).checked_div(total.unwrap_or(0)).unwrap_or(0);
    u16::try_from(share.min(1000)).unwrap_or(1000)
}
