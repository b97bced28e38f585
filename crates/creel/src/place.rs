//! Which server a command speaks to, and which data folder it means. What is typed wins over the environment, that
//! over the contexts of the settings file, that over the default data folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Global;
use crate::data::Data;
use crate::failure::{Exit, Failure, While};
use crate::settings::{Context, Settings};

/// Where the API is and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

/// What the environment says.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) server: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) data: Option<PathBuf>,
}

impl Environment {
    /// Reads `CREEL_SERVER`, `CREEL_TOKEN` and `CREEL_DATA`; an empty one counts as none.
    pub(crate) fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = std::env::var_os("CREEL_DATA").filter(|value| !value.is_empty());
        Self { server: text("CREEL_SERVER"), token: text("CREEL_TOKEN"), data: path.map(PathBuf::from) }
    }
}

/// The data folder that is meant: for commands that work on this machine.
pub(crate) fn data(global: &Global, env: &Environment, settings: &Settings) -> Result<Data, Failure> {
    let typed = global.data.as_deref().or(env.data.as_deref().filter(|_| global.context.is_none()));
    if let Some(folder) = typed {
        return Data::absolute(folder);
    }
    let context = settings.context(global.context.as_deref())?;
    Ok(context.and_then(|context| context.data.clone()).map_or_else(Data::default_folder, Data))
}

/// The server that is meant.
pub(crate) fn server(global: &Global, env: &Environment, settings: &Settings) -> Result<Place, Failure> {
    let token = global.token.clone().or_else(|| env.token.clone());
    if let Some(url) = &global.server {
        return Ok(Place { url: url.clone(), token });
    }
    if global.data.is_some() {
        return of_data(&data(global, env, settings)?, token);
    }
    if let Some(name) = global.context.as_deref() {
        return of_context(settings.context(Some(name))?, token);
    }
    if let Some(url) = &env.server {
        return Ok(Place { url: url.clone(), token });
    }
    if env.data.is_some() {
        return of_data(&data(global, env, settings)?, token);
    }
    of_context(settings.context(None)?, token)
}

fn of_context(context: Option<&Context>, token: Option<String>) -> Result<Place, Failure> {
    let Some(context) = context else { return of_data(&Data::default_folder(), token) };
    let kept = match (&context.token, &context.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(read_token(file)?),
        (None, None) => None,
    };
    let token = token.or(kept);
    match (&context.server, &context.data) {
        (Some(url), _) => Ok(Place { url: url.clone(), token }),
        (None, Some(folder)) => of_data(&Data(folder.clone()), token),
        (None, None) => Err(Failure::refused(format!("the context `{}` names no server", context.name))
            .cure("give it a `server` or a `data` in the settings file")),
    }
}

/// The server of a data folder on this machine, as it said of itself.
pub(crate) fn of_data(data: &Data, token: Option<String>) -> Result<Place, Failure> {
    let Some(server) = data.server() else {
        return Err(no_server(&format!("no creel server runs on the data folder {}", data.path().display())));
    };
    let token = match token {
        Some(token) => Some(token),
        None => Some(read_token(&data.token())?),
    };
    Ok(Place { url: server.url, token })
}

/// Nobody answers.
pub(crate) fn no_server(cause: &str) -> Failure {
    Failure::new(Exit::NoServer, cause)
        .cure("start one with `creel up -d`, or name one with --server, --data or --context")
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).during(format!("could not read the token in {}", file.display()));
    let text =
        text.map_err(|failure| failure.cure("run it as the user who started creel, or give --token"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_folder(url: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dä ta");
        fs::create_dir_all(path.join("run")).unwrap();
        fs::write(path.join("token"), "creel_1\n").unwrap();
        fs::write(path.join("run/server.json"), format!(r#"{{"url":"{url}","pid":1,"version":"0"}}"#))
            .unwrap();
        (folder, path)
    }

    fn found(global: &Global, env: &Environment, settings: &Settings) -> (String, Option<String>) {
        let place = server(global, env, settings).unwrap();
        (place.url, place.token)
    }

    #[test]
    fn what_is_typed_wins_over_the_environment_and_that_over_contexts() {
        let (_a, typed) = data_folder("http://typed");
        let (_b, named) = data_folder("http://context");
        let (settings, _) = Settings::default().with_data(&Data(named));
        let nothing = Environment::default();
        let env = Environment { server: Some("http://env".into()), token: Some("t".into()), data: None };
        let by_data = Global { data: Some(typed), ..Global::default() };
        let by_url = Global { server: Some("http://url".into()), ..by_data.clone() };
        let token = Some("creel_1".to_owned());
        assert_eq!(found(&by_url, &env, &settings), ("http://url".into(), Some("t".into())));
        assert_eq!(found(&by_data, &env, &settings), ("http://typed".into(), Some("t".into())));
        assert_eq!(found(&by_data, &nothing, &settings), ("http://typed".into(), token.clone()));
        assert_eq!(found(&Global::default(), &env, &settings).0, "http://env");
        assert_eq!(found(&Global::default(), &nothing, &settings), ("http://context".into(), token));
    }

    #[test]
    fn a_data_folder_where_no_server_ran_is_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let global = Global { data: Some(folder.path().into()), ..Global::default() };
        let failure = server(&global, &Environment::default(), &Settings::default()).err().unwrap();
        assert_eq!(failure.exit, Exit::NoServer);
        assert!(failure.text().contains("creel up -d"));
    }
}
