//! The values of secrets: one file each, readable by creel's user only, and a keyed hash of each in the World, so
//! that equal values can be told without being known. Values never reach the store, a log or an answer to a user.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;

use crate::file::{make_private_folder, remove, write_private};
use crate::token::{hex, random};

/// The key's file. No tenant's name begins with a dot.
const KEY: &str = ".key";

/// The folder of all values.
pub(crate) struct Vault {
    folder: PathBuf,
    key: hmac::Key,
}

impl Vault {
    /// Opens the vault; the first time its key is made.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        make_private_folder(folder)?;
        let bytes = key_at(&folder.join(KEY))?;
        Ok(Self { folder: folder.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// The same for equal values of this installation, and of no use elsewhere.
    pub(crate) fn hash(&self, value: &str) -> String {
        hex(hmac::sign(&self.key, value.as_bytes()).as_ref())
    }

    /// Keeps a value; it is on disk when this returns.
    pub(crate) fn put(&self, tenant: &str, name: &str, value: &str) -> io::Result<()> {
        let path = self.path(tenant, name);
        make_private_folder(&self.folder.join(tenant))?;
        write_private(&path, value.as_bytes())
    }

    /// The value.
    pub(crate) fn get(&self, tenant: &str, name: &str) -> io::Result<String> {
        std::fs::read_to_string(self.path(tenant, name))
    }

    /// Forgets a value.
    pub(crate) fn remove(&self, tenant: &str, name: &str) -> io::Result<()> {
        remove(&self.path(tenant, name))
    }

    fn path(&self, tenant: &str, name: &str) -> PathBuf {
        self.folder.join(tenant).join(name)
    }
}

fn key_at(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() == 32 => Ok(bytes),
        Ok(bytes) => Err(io::Error::other(format!("{} holds {} bytes, not 32", path.display(), bytes.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = random()?;
            write_private(path, &bytes)?;
            Ok(bytes.to_vec())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_value_is_kept_for_the_owner_only_and_forgotten_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(&folder.path().join("secrets")).unwrap();
        vault.put("acme", "bot", "123:abc").unwrap();
        assert_eq!(vault.get("acme", "bot").unwrap(), "123:abc");
        let mode = |path: &str| folder.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("secrets"), mode("secrets/acme"), mode("secrets/acme/bot")), (0o700, 0o700, 0o600));
        vault.remove("acme", "bot").unwrap();
        vault.remove("acme", "bot").unwrap();
        assert!(vault.get("acme", "bot").is_err());
    }

    #[test]
    fn equal_values_have_equal_hashes_here_and_others_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Vault::open(&folder.path().join(name)).unwrap();
        assert_eq!(open("a").hash("x"), open("a").hash("x"));
        assert_ne!(open("a").hash("x"), open("a").hash("y"));
        assert_ne!(open("a").hash("x"), open("b").hash("x"));
    }
}
