//! `~/.config/creel/config.yaml`: the servers that a person works with, each under a name (a context), and which of
//! them is meant when nothing else is said.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::{self, Data};
use crate::failure::{Failure, While};
use crate::yaml;

/// The file as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    /// The context that is meant when nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_context: Option<String>,
    #[serde(default)]
    pub(crate) contexts: Vec<Context>,
}

/// A server under a name: its address and token, or the data folder that holds both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
}

/// Where the file is.
pub(crate) fn file() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_else(|| "/".into());
    data::set("XDG_CONFIG_HOME").unwrap_or_else(|| home().join(".config")).join("creel/config.yaml")
}

/// The file's content; no file is an empty one.
pub(crate) fn load(file: &Path) -> Result<Settings, Failure> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Settings::default()),
        Err(error) => return Err(error).during(format!("could not read {}", file.display())),
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Settings::default());
    }
    yaml::read(&file.display().to_string(), 0, &text).map_err(|fault| {
        Failure::refused(fault.to_string())
            .cure("mend that line; a context has name, server, tokenFile, token and data")
    })
}

impl Settings {
    /// The context of this name, or the current one.
    pub(crate) fn context(&self, name: Option<&str>) -> Result<Option<&Context>, Failure> {
        let Some(name) = name.or(self.current_context.as_deref()) else { return Ok(None) };
        let found = self.contexts.iter().find(|context| context.name == name);
        found.map(Some).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.iter().map(|context| context.name.as_str()).collect();
            let known = if names.is_empty() { "there are none".into() } else { names.join(", ") };
            Failure::usage(format!("there is no context `{name}` in {}", file().display()))
                .cure(format!("use one of the contexts there are ({known}), or `creel up -d` to make one"))
        })
    }

    /// The same settings with a current context for this data folder, and that context's name.
    pub(crate) fn with_data(mut self, data: &Data) -> (Self, String) {
        let known = self.contexts.iter().find(|context| context.data.as_deref() == Some(data.path()));
        let name = known.map(|context| context.name.clone()).unwrap_or_else(|| {
            let name = self.free_name(data);
            let folder = Some(data.path().to_owned());
            self.contexts.push(Context { name: name.clone(), data: folder, ..Context::default() });
            name
        });
        self.current_context = Some(name.clone());
        (self, name)
    }

    fn free_name(&self, data: &Data) -> String {
        let base = if *data == Data::default_folder() {
            "local".to_owned()
        } else {
            let folder = data.path().file_name().unwrap_or_default().to_string_lossy();
            let word = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
            format!("data-{}", folder.trim_start_matches('.').chars().map(word).collect::<String>())
        };
        let taken = |name: &String| self.contexts.iter().any(|context| context.name == *name);
        let numbered = (2..=self.contexts.len() + 2).map(|number| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(base)
    }
}

/// Writes the file as a whole: readers see the old one or the new one. Mode 0600, because it may hold a token.
pub(crate) fn save(file: &Path, settings: &Settings) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let doing = || format!("could not write {}", file.display());
    fs::create_dir_all(folder).during(doing())?;
    let beside = folder.join(format!(".config.yaml.{}", std::process::id()));
    let mut open = fs::OpenOptions::new();
    let mut new = open.write(true).create(true).truncate(true).mode(0o600).open(&beside).during(doing())?;
    new.write_all(yaml::write(settings).as_bytes()).and_then(|()| new.sync_all()).during(doing())?;
    fs::rename(&beside, file).during(doing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn an_unknown_key_is_told_with_line_and_column() {
        let (_folder, file) = written("currentContext: a\ncontexts:\n  - name: a\n    sever: http://x\n");
        let failure = load(&file).unwrap_err();
        let told = failure.text();
        assert!(told.contains("config.yaml:4:5: unknown key `sever`: did you mean `server`?"), "{told}");
    }

    #[test]
    fn a_missing_or_empty_file_is_no_settings() {
        let (folder, file) = written("# nothing yet\n");
        assert_eq!(load(&file).unwrap(), Settings::default());
        assert_eq!(load(&folder.path().join("none.yaml")).unwrap(), Settings::default());
    }

    #[test]
    fn what_was_saved_is_loaded_again_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("creel/config.yaml");
        let (settings, name) = Settings::default().with_data(&Data("/srv/.creel".into()));
        save(&file, &settings).unwrap();
        assert_eq!(load(&file).unwrap(), settings);
        assert_eq!(name, "data-creel");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_data_folder_keeps_its_context_and_another_of_the_same_name_gets_a_number() {
        let (settings, first) = Settings::default().with_data(&Data("/a/creel".into()));
        let (settings, second) = settings.with_data(&Data("/b/creel".into()));
        let (settings, again) = settings.with_data(&Data("/a/creel".into()));
        assert_eq!([first.as_str(), &second, &again], ["data-creel", "data-creel-2", "data-creel"]);
        assert_eq!(settings.contexts.len(), 2);
        assert_eq!(settings.context(None).unwrap().unwrap().name, first);
        assert!(settings.context(Some("none")).unwrap_err().text().contains("data-creel, data-creel-2"));
    }
}
